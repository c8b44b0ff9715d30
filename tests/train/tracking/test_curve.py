from __future__ import annotations

import threading

import numpy as np

from encdec_batch.store.open import open_store
from encdec_batch.train.tracking.curve import Curve, read_curve


def test_the_curve_is_on_the_store_and_in_tensorboards_files(tmp_path):
    store = open_store(str(tmp_path / "training"))
    curve = Curve(store, 0)
    for step in range(1, 5):
        curve.point(step, {"loss": 1 / step})
        if step == 2:
            curve.picture(step, "val/0", np.zeros((4, 6, 3), np.uint8))
        if step % 2 == 0:
            curve.flush(step)
    curve.close()
    assert read_curve(store) == [{"step": step, "loss": 1 / step} for step in range(1, 5)]
    [events] = (tmp_path / "training/tensorboard").iterdir()
    assert scalars(events) == [(step, "loss") for step in range(1, 5)] + [(2, "val/0")]


def test_a_point_is_in_the_file_when_point_returns(tmp_path, monkeypatch):
    """A thread that writes later would leave some out of what a flush brings to the store."""
    from tensorboardX.event_file_writer import EventsWriter

    writers, write = set(), EventsWriter.write_event
    monkeypatch.setattr(EventsWriter, "write_event", lambda *what: (writers.add(threading.get_ident()), write(*what)))
    curve = Curve(open_store(str(tmp_path / "training")), 0)
    for step in range(1, 51):
        curve.point(step, {"loss": 1 / step})
    curve.flush(50)
    [events] = (tmp_path / "training/tensorboard").iterdir()
    assert scalars(events) == [(step, "loss") for step in range(1, 51)]
    curve.close()
    assert writers == {threading.get_ident()}


def scalars(path):
    """Steps and tags of an event file: records of length, checksum, protobuf, checksum (TensorFlow's TFRecord)."""
    from tensorboardX.proto.event_pb2 import Event

    data, found = path.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        found += [(event.step, value.tag) for value in event.summary.value]
        data = data[16 + length :]
    return sorted(found, key=lambda one: (one[1], one[0]))
