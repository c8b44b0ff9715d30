from __future__ import annotations

import http.server
import threading
from functools import partial

import pytest

from encdec_batch.errors import ObjectMissing, PermanentStoreError, SpecError
from encdec_batch.store.object import Capabilities
from encdec_batch.store.open import locate, open_store
from encdec_batch.store.retry import RetryPolicy


@pytest.mark.parametrize(
    ("uri", "normal"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3a://bucket/a", "s3://bucket/a"),
        ("file:///data/x/", "file:///data/x"),
        ("/data/x", "file:///data/x"),
        ("/data/../x", "file:///x"),
        ("memory://a/b/", "memory://a/b"),
        ("https://host/a/", "https://host/a"),
    ],
)
def test_uris_are_normalised(uri, normal):
    assert open_store(uri).uri == normal
    assert open_store(normal).uri == normal


def test_a_relative_path_is_one_of_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_store("some/where").uri == f"file://{tmp_path}/some/where"
    store, path = locate("x.tif")
    assert (store.uri, path) == (f"file://{tmp_path}", "x.tif")


@pytest.mark.parametrize(
    ("uri", "folder", "path"),
    [
        ("s3://bucket/x.tif", "s3://bucket", "x.tif"),
        ("s3://bucket/a/b/x.tif", "s3://bucket", "a/b/x.tif"),
        ("file:///data/a/x.tif", "file:///data/a", "x.tif"),
        ("/data/a/x.tif", "file:///data/a", "x.tif"),
        ("memory://a/x.tif", "memory://a", "x.tif"),
        ("https://host/a/x.tif", "https://host/a", "x.tif"),
    ],
)
def test_objects_are_located(uri, folder, path):
    store, found = locate(uri)
    assert (store.uri, found) == (folder, path)


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "s3://bucket/a/", "file:///", "https://host"])
def test_what_names_no_object_is_refused(uri):
    with pytest.raises(SpecError, match="names no object"):
        locate(uri)


@pytest.mark.parametrize("uri", ["", "://x", "s3://", "s3:///x", "file://host", "simplecache::s3://bucket"])
def test_what_is_no_uri_is_refused(uri):
    with pytest.raises(SpecError):
        open_store(uri)


def test_an_unknown_option_of_s3_is_refused():
    with pytest.raises(SpecError, match=r"'endpont_url' is not known for s3; known are .*endpoint_url"):
        open_store("s3://bucket", {"endpont_url": "http://x"})


def test_an_unknown_protocol_is_said_on_first_use():
    with pytest.raises(SpecError, match=r"nosuch://host.*install the package"):
        open_store("nosuch://host/x").get("a")


@pytest.fixture
def web(tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield open_store(
        f"http://127.0.0.1:{server.server_port}", policy=RetryPolicy(total_s=0.2, first_wait_s=0.01, max_wait_s=0.02)
    )
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.integration
def test_sources_are_read_from_other_file_systems(web, tmp_path):
    (tmp_path / "x").write_bytes(b"0123456789")
    assert web.get("x") == b"0123456789"
    assert web.info("x").size == 10
    with pytest.raises(ObjectMissing):
        web.get("none")


@pytest.mark.integration
def test_outputs_are_refused_where_names_are_not_safe(web):
    assert web.probe() == Capabilities(create_only=False, if_match=False)
    with pytest.raises(PermanentStoreError, match=r"cannot be created safely.*write outputs to"):
        web.create("x", b"1")
    with pytest.raises(PermanentStoreError, match="cannot be replaced safely"):
        web.replace("x", b"1", etag="1")
