"""What running a network sets for its whole process."""

from __future__ import annotations

import torch

from encdec_batch.models.forward import _be_deterministic, arithmetic_restored


def flags() -> tuple[bool, bool, bool, bool]:
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    deterministic = torch.are_deterministic_algorithms_enabled()
    return deterministic, cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark


def test_an_evaluation_leaves_a_trainings_arithmetic_as_it_was(monkeypatch):
    """Cross-entropy on CUDA has no repeatable form: torch refuses it where all is to be deterministic."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = flags()
    with arithmetic_restored():
        _be_deterministic()
        assert flags() == (True, False, False, False) != before
    assert flags() == before
