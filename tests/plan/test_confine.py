"""Links of a disk, names and redirects of a network that lead out of what a source names."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from plan.recipes import order
from rasters import tiny_tiff

from encdec_batch.errors import SceneUnreadable
from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.open import look_up, open_scene
from encdec_batch.plan.scene import SourceImage
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.source import GlobSource, PrefixSource
from encdec_batch.window import Window

IMAGE = tiny_tiff(bytes(64 * 64))


@pytest.fixture
def archive(tmp_path) -> Path:
    """A prefix with links of every kind: to files and folders, inside and outside, by way of each other."""
    inside, outside = tmp_path / "archive", tmp_path / "elsewhere"
    (inside / "sub").mkdir(parents=True)
    (outside / "deep").mkdir(parents=True)
    for path in (inside / "a.tif", inside / "sub" / "b.tif", outside / "secret.tif", outside / "deep" / "more.tif"):
        path.write_bytes(IMAGE)
    (inside / "same.tif").symlink_to("a.tif")
    (inside / "out.tif").symlink_to(outside / "secret.tif")
    (inside / "twice.tif").symlink_to("out.tif")
    (inside / "linked").symlink_to(outside)
    (inside / "near").symlink_to(inside / "sub")
    (tmp_path / "archive-2").mkdir()
    (tmp_path / "archive-2" / "c.tif").write_bytes(IMAGE)
    (inside / "neighbour.tif").symlink_to(tmp_path / "archive-2" / "c.tif")
    return inside


def at(uri: str, etag: str = "") -> SourceImage:
    return SourceImage(uri=uri, etag=etag)


def readable(spec: JobSpec, uri: str, etag: str = "") -> bool:
    try:
        with open_scene(spec, [at(uri, etag)]) as reader:
            reader.read(Window(0, 0, 64, 64), (1,), rule="any")
    except SceneUnreadable as error:
        if "leads out" in error.message and "follow_links" in error.hint:
            return False
        raise
    return True


def listed(source: dict) -> dict[str, bool]:
    """Name below the archive to whether it can be read."""
    spec = order(source=source).spec
    kept, aside, _ = find_scenes(spec.source)
    assert not aside
    return {scene.uri.rpartition("/archive/")[2]: readable(spec, scene.uri, scene.etag) for scene in kept}


INSIDE = {"a.tif": True, "sub/b.tif": True, "same.tif": True, "near/b.tif": True}
OUTSIDE = ("out.tif", "twice.tif", "neighbour.tif")


@pytest.mark.parametrize("more", [{"kind": "prefix"}, {"kind": "glob", "pattern": "**/*.tif"}], ids=["prefix", "glob"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_links_that_lead_out_of_a_prefix_are_not_followed(archive, more, scheme):
    found = listed({"uri": f"{scheme}{archive}", **more})
    assert found == INSIDE | dict.fromkeys(OUTSIDE, False)


def test_they_are_if_the_spec_says_so(archive):
    found = listed({"kind": "prefix", "uri": str(archive), "follow_links": True})
    assert found == dict.fromkeys([*INSIDE, *OUTSIDE, "linked/secret.tif", "linked/deep/more.tif"], True)


def test_a_prefix_that_is_a_link_itself_is_the_folder_that_it_names(archive, tmp_path):
    (tmp_path / "alias").symlink_to(archive)
    spec = order(source={"kind": "prefix", "uri": f"{tmp_path}/alias/"}).spec
    kept, *_ = find_scenes(spec.source)
    assert sum(readable(spec, scene.uri, scene.etag) for scene in kept) == len(INSIDE)


def test_a_link_that_is_turned_after_the_listing_is_noticed(archive, tmp_path):
    spec = order(source={"kind": "prefix", "uri": str(archive)}).spec
    (scene,) = (scene for scene in find_scenes(spec.source)[0] if scene.uri.endswith("same.tif"))
    (archive / "same.tif").unlink()
    (archive / "same.tif").symlink_to(tmp_path / "elsewhere" / "secret.tif")
    assert not readable(spec, scene.uri)


def test_links_out_of_a_tables_prefix_are_not_followed(archive, tmp_path):
    table = tmp_path / "scenes.csv"
    table.write_text("uri\narchive/a.tif\narchive/out.tif\narchive/linked/deep/more.tif\n")
    source = {"kind": "table", "uri": str(table), "prefixes": [str(archive)]}
    spec = order(source=source).spec
    kept, aside, _ = find_scenes(spec.source)
    assert not aside
    assert [readable(spec, scene.uri) for scene in kept] == [True, False, False]
    assert all(readable(order(source={**source, "follow_links": True}).spec, scene.uri) for scene in kept)
    assert all(readable(order(source={"kind": "table", "uri": str(table)}).spec, scene.uri) for scene in kept)


def test_sources_have_defaults_that_follow_nothing():
    assert not PrefixSource(kind="prefix", uri="x").follow_links
    assert not GlobSource(kind="glob", uri="x", pattern="*").follow_links


class _Files(BaseHTTPRequestHandler):
    """One image, and a way round to it."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.server.asked.append(self.path)
        if self.path == "/moved.tif":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.2:{self.server.server_port}/image.tif")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(IMAGE)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if body:
            self.wfile.write(IMAGE)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("0.0.0.0", 0), _Files)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def web_spec(**more: object) -> JobSpec:
    return order(source={"kind": "table", "uri": "/x/t.csv", "schemes": ["http"], **more}).spec


@pytest.mark.integration
def test_a_name_with_a_private_address_is_not_connected_to(web, monkeypatch):
    """The name looks public, so the text is let in; what it resolves to is not."""
    real = socket.getaddrinfo

    def lying(host: str, *rest: object, **more: object) -> object:
        return real("127.0.0.1" if host == "files.example.org" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lying)
    uri = f"http://files.example.org:{web.server_port}/image.tif"
    with pytest.raises(SceneUnreadable, match=r"127\.0\.0\.1 is not a public address") as caught:
        look_up(web_spec(), at(uri))
    assert "source.hosts" in caught.value.hint
    assert web.asked == []
    assert look_up(web_spec(hosts=["files.example.org"]), at(uri)).size == len(IMAGE)


@pytest.mark.integration
def test_a_redirect_to_a_private_address_is_not_followed(web):
    uri = f"http://127.0.0.1:{web.server_port}/moved.tif"
    with pytest.raises(SceneUnreadable, match=r"127\.0\.0\.2 is not a public address"):
        look_up(web_spec(hosts=["127.0.0.1"]), at(uri))
    assert "/image.tif" not in web.asked
    assert look_up(web_spec(hosts=["127.0.0.1", "127.0.0.2"]), at(uri)).size == len(IMAGE)
