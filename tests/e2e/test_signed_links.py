"""Scenes behind signed links: whoever has the output, or what was said of it, cannot open them."""

from __future__ import annotations

import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from e2e.made import classes_package, command, write_spec, write_tiff
from rasters import coordinate_image
from servers import serving

pytestmark = pytest.mark.e2e

FIRST, SECOND = "X-Amz-Expires=60&X-Amz-Signature=hunter2", "X-Amz-Expires=60&X-Amz-Signature=hunter3"


@contextmanager
def signed(folder: Path, valid: set[str]):
    """A server of a folder's files to whoever has a link with one of these queries."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self._answer(body=False)

        def do_GET(self):
            self._answer(body=True)

        def _answer(self, *, body: bool):
            asked = urlsplit(self.path)
            file = folder / asked.path.lstrip("/")
            if asked.query not in valid or not file.is_file():
                self.send_error(404 if asked.query in valid else 403)
                return
            data = file.read_bytes()
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            start, stop = (int(wanted[1]), int(wanted[2]) + 1) if wanted else (0, len(data))
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(data[start:stop])))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{hash(data) & 0xFFFF:x}"')
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
            self.end_headers()
            if body:
                self.wfile.write(data[start:stop])

        def log_message(self, *_):
            pass

    with serving(Handler) as address:
        yield address


def a_list(folder: Path, links: list[str]) -> dict[str, object]:
    return {"kind": "list", "uris": links}


def a_table(folder: Path, links: list[str]) -> dict[str, object]:
    (folder / "scenes.csv").write_text("\n".join(["uri", *links]) + "\n")
    return {"kind": "table", "uri": str(folder / "scenes.csv"), "schemes": ["http"], "hosts": ["127.0.0.1"]}


@pytest.mark.parametrize("source", [a_list, a_table])
def test_no_byte_of_an_output_opens_a_scene_and_a_new_signature_changes_nothing(tmp_path, source):
    for name in ("a", "b"):
        write_tiff(tmp_path / f"in/{name}.tif", coordinate_image(1, 300, 300))
    (tmp_path / "in/no.tif").write_bytes(b"no image")
    valid = {FIRST}
    with signed(tmp_path / "in", valid) as address:
        # Two that are done, one that is no image, one that is missing, and one that is forbidden.
        names = [f"{name}.tif?{FIRST}" for name in ("a", "b", "no", "missing")] + ["forbidden.tif?sig=hunter4"]
        changes = {"output": {"catalogue": True}, "report": {"previews": 2}}
        links = [f"{address}/{name}" for name in names]
        spec = write_spec(tmp_path, source(tmp_path, links), classes_package(), **changes)
        plan = command("plan", spec)
        first = command("run", spec)
        assert "2 scenes done (2 by this run), 3 set aside" in first.stdout, first.stderr
        out = tmp_path / "out"
        assert f"{address}/a.tif" in next((out / "markers").glob("a.json")).read_text()
        assert "<img" in (out / "report/index.html").read_text()

        valid.clear()
        valid.add(SECOND)
        links = [link.replace(FIRST, SECOND) for link in links]
        write_spec(tmp_path, source(tmp_path, links), classes_package(), **changes)
        again = command("run", spec)
        assert "2 scenes done (0 by this run)" in again.stdout, again.stderr
        checked = command("verify", out, "--deep")
        if source is a_list:
            assert "not compared: 2 scenes, its input cannot be read: " in checked.stdout
            assert "name such links in a table (source.kind: table)" in checked.stdout
            # Which is as it says.
            write_spec(tmp_path, a_table(tmp_path, links), classes_package(), **changes)
            assert "2 scenes done (0 by this run)" in command("run", spec).stdout
            checked = command("verify", out, "--deep")
        assert checked.code == 0, checked.stdout
        assert " windows of 2 scenes computed again" in checked.stdout
        valid.clear()
        expired = command("verify", out, "--deep")
        assert "not compared: 2 scenes" in expired.stdout
        assert f"its link is signed: sign those of {tmp_path}/scenes.csv anew (a, b)" in expired.stdout
    said = [ended.stdout + ended.stderr for ended in (plan, first, again, checked, expired)]
    for text in (*said, *texts_of(out)):
        assert "hunter" not in text
        assert "X-Amz" not in text


def texts_of(folder: Path):
    """Names and bytes of all files, and what compressed ones hold."""
    for path in folder.rglob("*"):
        yield str(path.relative_to(folder))
        if path.is_file():
            yield path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            yield str(pq.read_table(path).to_pylist())
