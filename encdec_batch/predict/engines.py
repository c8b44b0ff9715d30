"""Which engine runs a package."""

from __future__ import annotations

from encdec_batch.models.card import ONNX
from encdec_batch.models.network import build_network
from encdec_batch.models.package import Package
from encdec_batch.predict.eager import EagerEngine
from encdec_batch.predict.engine import Engine
from encdec_batch.predict.resolve import engine_name


def open_engine(package: Package, *, device: str, precision: str) -> Engine:
    """The engine of a package, its network built and its golden sample replayed.

    Args:
        package: verified.
        device: `cpu` or `cuda`, as `device_for` chose it.
        precision: likewise.

    Raises:
        ModelError: the network cannot be built, or does not give its golden output here.
    """
    network = build_network(package)
    if package.card.architecture == ONNX:
        from encdec_batch.models.onnx_network import OnnxNetwork
        from encdec_batch.predict.onnx import OnnxEngine

        assert isinstance(network, OnnxNetwork)  # noqa: S101  (what build_network makes of this architecture)
        return OnnxEngine(network)
    return EagerEngine(network, device=device, precision=precision, name=engine_name(package.card))
