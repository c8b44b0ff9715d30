"""Libraries that are imported for the first object that needs them, by several threads at once."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from encdec_batch.read.imported import imported

GATE = """
import threading
within, asked = threading.Event(), threading.Event()
"""
WHOLE = """
import import_gate
import_gate.within.set()
import_gate.asked.wait(0.2)
from import_whole.two import thing
"""
ONE = """
import time
time.sleep(0.05)
import import_whole.two
thing = 1
"""
TWO = """
import time
time.sleep(0.15)
from import_whole.one import thing
"""
"""Each imports the other, as modules of pydicom do: well, if one thread does it from the beginning."""


def test_a_library_and_a_module_of_it_at_the_same_time(tmp_path, monkeypatch):
    """As nibabel imports pydicom while a DICOM file needs a module of that: each waits for what the other has begun."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "import_gate.py").write_text(GATE)
    (tmp_path / "import_whole").mkdir()
    (tmp_path / "import_whole/__init__.py").write_text(WHOLE)
    (tmp_path / "import_whole/one.py").write_text(ONE)
    (tmp_path / "import_whole/two.py").write_text(TWO)
    import import_gate

    def part() -> object:
        import_gate.within.wait(0.2)
        threading.Timer(0.01, import_gate.asked.set).start()
        return imported("import_whole.one").thing

    with ThreadPoolExecutor(2) as pool:
        whole, one = pool.submit(imported, "import_whole"), pool.submit(part)
        assert (whole.result().thing, one.result()) == (1, 1)
    for name in [name for name in sys.modules if name.startswith("import_")]:
        del sys.modules[name]
