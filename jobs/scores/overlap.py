"""Overlap as single papers count it: image by image, weighted; and regions between membranes.

Shapes: H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label
from skimage.segmentation import expand_labels


def weighted(counts: NDArray[np.int64]) -> dict[str, float]:
    """Precision, recall and Jaccard of one image, each class weighing as many pixels as it has.

    As sklearn's `average="weighted"`: a class that is never predicted has precision 0.

    Args:
        counts: (classes, classes) pixels; row is the right class, column the predicted one.
    """
    hits, truth, made = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    parts = {"precision": made, "recall": truth, "jaccard": truth + made - hits}
    total = max(int(truth.sum()), 1)
    return {name: float((hits / np.maximum(whole, 1) * truth).sum() / total) for name, whole in parts.items()}


def paper_way(images: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of `weighted` over images, and F1 as the harmonic mean of the two means.

    Source: John and Zhang 2022 (An attention-based U-Net for detecting deforestation within satellite sensor imagery),
    as their repository's Experimentation.ipynb counts: `precision_eval`, `recall_eval`, `f1_score_eval_basic`. How
    its Jaccard is averaged was not found there: here as precision and recall are.
    """
    means = {name: float(np.mean([one[name] for one in images])) for name in ("precision", "recall", "jaccard")}
    both = means["precision"] + means["recall"]
    f1 = 2 * means["precision"] * means["recall"] / both if both else 0.0
    return {f"weighted_{name}": value for name, value in {**means, "f1": f1}.items()}


def rand(truth_HW: NDArray[np.bool_], made_HW: NDArray[np.bool_], known_HW: NDArray[np.bool_]) -> dict[str, float]:
    """Rand scores of the regions that membranes divide: `rand_split`, `rand_merge` and their harmonic mean `rand`.

    Regions are what hangs together by sides off the membrane. Only what is no membrane in truth counts
    (foreground-restricted); the made regions grow over the made membrane first (border thinning), so that its
    width does not matter. Source: Arganda-Carreras et al. 2015 (Crowdsourcing the creation of image segmentation
    algorithms for connectomics, Frontiers in Neuroanatomy 9:142), equations of V^Rand_split and V^Rand_merge. Written
    out here as scikit-image 0.26 has the two in each other's place (its issue 6485).

    Args:
        truth_HW: True on the right membrane.
        made_HW: True on the predicted one.
        known_HW: True where truth is known.
    """
    true, made = (label(~membrane, connectivity=1) for membrane in (truth_HW, made_HW))
    if made.any():
        made = expand_labels(made, distance=sum(made.shape))
    counted = known_HW & (true > 0)
    _, joint = np.unique(np.stack([true[counted], made[counted]]), axis=1, return_counts=True)
    together = float(np.square(joint, dtype=np.float64).sum())
    split, merge = (together / max(_pairs(regions[counted]), 1.0) for regions in (true, made))
    both = split + merge
    return {"rand_split": split, "rand_merge": merge, "rand": 2 * split * merge / both if both else 0.0}


def _pairs(regions: NDArray[np.int64]) -> float:
    return float(np.square(np.unique(regions, return_counts=True)[1], dtype=np.float64).sum())
