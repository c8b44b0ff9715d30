"""Packages of a network that is still learning: what is judged is what would be published."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory

import torch
from torch import nn

from encdec_batch.models.card import Card
from encdec_batch.models.forward import prepare
from encdec_batch.models.golden import keeps
from encdec_batch.models.memory import measure_memory
from encdec_batch.models.network import build_network
from encdec_batch.models.package import Measured, Package
from encdec_batch.models.publish import publish_package
from encdec_batch.models.reach import measure_geometry
from encdec_batch.predict.device import Precision
from encdec_batch.predict.resolve import device_for
from encdec_batch.spec.train import TrainSpec
from encdec_batch.train.material import Material
from encdec_batch.train.packaging.card import declare


@dataclass
class Drafts:
    """Makes packages of one network at different times; its geometry is measured once, when the first is made."""

    spec: TrainSpec
    material: Material
    _measured: Measured | None = field(default=None, init=False)
    _card: Card | None = field(default=None, init=False)

    @property
    def card(self) -> Card:
        """Of the last one."""
        if self._card is None:
            raise AssertionError("no draft was made yet")
        return self._card

    def make(self, network: nn.Module) -> Package:
        """The network as it is now, as a package in memory."""
        network = detached(network)
        declared = declare(self.spec, self.material.facts)
        if self._measured is None:
            geometry = measure_geometry(network, declared.num_bands)
            memory = measure_memory(network, declared.num_bands, geometry)
            self._measured = Measured(geometry=geometry, tolerance={}, memory=memory)
        with TemporaryDirectory(prefix="eb-draft-") as folder:
            made = publish_package(folder, network, declared, self.material.sample, measured=self._measured)
        self._card = made.card
        return made


def precision_of_a_job(draft: Package) -> Precision:
    """What `auto` will be on this machine for jobs that run the package which this draft becomes.

    A job leaves out what the card has no tolerance for; a draft's has none yet, so its golden sample is asked, by which
    they are kept (models/publish.py).
    """
    device = device_for(draft.card, "auto", "auto", 1)
    network = build_network(draft)
    try:
        kept = keeps(draft.golden, prepare(network, device=device.torch_name, precision=device.precision))
    except RuntimeError:
        # torch has not every operation of the network in it.
        kept = False
    return device.precision if kept else "float32"


def detached(network: nn.Module) -> nn.Module:
    """A copy of its own: float32 on the CPU, in eval mode, as packages have it."""
    copied = deepcopy(network).to("cpu", torch.float32).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    ready: nn.Module = copied.eval().requires_grad_(requires_grad=False)
    return ready
