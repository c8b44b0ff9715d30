from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from contracts.store import StoreContract

from encdec_batch.errors import (
    ObjectForbidden,
    ObjectMissing,
    PermanentStoreError,
    PreconditionFailed,
    TransientStoreError,
)
from encdec_batch.store.local import LocalStore
from encdec_batch.store.local_errors import link_error, os_error
from encdec_batch.store.local_files import locked
from encdec_batch.store.retry import RetryPolicy

QUICK = RetryPolicy(total_s=2, first_wait_s=0.01, max_wait_s=0.05)


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        self.root = tmp_path / "store"
        return LocalStore(str(self.root), policy=QUICK)

    def set_behind(self, store, path, data):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def get_behind(self, store, path):
        file = self.root / path
        return file.read_bytes() if file.is_file() else None

    def names_behind(self, store):
        return sorted(str(file.relative_to(self.root)) for file in self.root.rglob("*") if file.is_file())


@pytest.fixture
def store(tmp_path):
    return LocalStore(str(tmp_path / "store"), policy=QUICK, lock_timeout_s=0.05)


def test_a_lock_held_too_long_names_its_holder(store):
    etag = store.create("marker", b"1").etag
    with locked(store._file("marker"), 1):
        for change in (
            lambda: store.replace("marker", b"2", etag=etag),
            lambda: store.put("marker", b"2"),
            lambda: store.delete(["marker"]),
            lambda: store.delete_if_match("marker", etag),
        ):
            with pytest.raises(TransientStoreError, match=rf"locked for 0.05 s by pid {os.getpid()} on \S+; if that"):
                change()
        # Readers and creators do not wait.
        assert store.get("marker") == b"1"
        with pytest.raises(PreconditionFailed):
            store.create("marker", b"2")
        assert [info.path for info in store.list()] == ["marker"]
    assert store.replace("marker", b"2", etag=etag).size == 1


def test_a_lock_ends_with_its_holder(store):
    etag = store.create("marker", b"1").etag
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD_LOCK, str(store._file("marker"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(TransientStoreError, match=f"by pid {holder.pid} "):
            store.replace("marker", b"2", etag=etag)
        holder.kill()
        holder.wait()
        store.replace("marker", b"2", etag=etag)
    assert store.get("marker") == b"2"


_HOLD_LOCK = """
import sys, pathlib
from encdec_batch.store.local_files import locked
with locked(pathlib.Path(sys.argv[1]), 1):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_writer_left_is_not_listed_and_dropped_later(store):
    writer = store.open_writer("a/x")
    writer.write(b"half of it")
    assert list(store.list()) == []
    assert store.abort_uploads("", before=store.now() - 3600) == 0
    assert store.abort_uploads("b/", before=store.now() + 1) == 0
    assert store.abort_uploads("a/", before=store.now() + 1) == 1
    with pytest.raises(ObjectMissing):
        writer.finish()


def test_names_and_emptied_folders_come_and_go_together(store):
    # Folders are removed when they are empty, while others are about to write into them.
    def come_and_go(worker):
        for turn in range(40):
            name = f"a/b/{worker}-{turn}"
            store.create(name, b"1")
            store.delete([name])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    store.create("a", b"a name where a folder was")
    with pytest.raises(PermanentStoreError, match="file where a folder is needed"):
        store.create("a/b", b"1")


def test_writing_in_place_by_others_is_noticed(store, tmp_path):
    store.create("x", bytes(100))
    file = tmp_path / "store" / "x"
    etag = store.info("x").etag
    os.utime(file, ns=(1, 1))
    with pytest.raises(PreconditionFailed, match="changed"):
        store.get("x", etag=etag)
    etag = store.info("x").etag
    with file.open("ab") as open_file:
        open_file.write(b"more")
    with pytest.raises(PreconditionFailed, match="changed"):
        store.get_ranges("x", [(0, 10)], etag=etag)


def test_links_are_followed_once(store, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "scene.tif").write_bytes(b"1")
    root = tmp_path / "store"
    root.mkdir()
    (root / "linked").symlink_to(elsewhere)
    (root / "one.tif").symlink_to(elsewhere / "scene.tif")
    (root / "round").symlink_to(root)
    (root / "dangling").symlink_to(root / "nowhere")
    (root / "self").symlink_to(root / "self")
    assert [info.path for info in store.list()] == ["linked/scene.tif", "one.tif"]
    assert store.get("linked/scene.tif") == store.get("one.tif") == b"1"


def test_only_regular_files_are_objects(store, tmp_path):
    (tmp_path / "store").mkdir()
    os.mkfifo(tmp_path / "store" / "pipe")
    assert list(store.list()) == []
    with pytest.raises(ObjectMissing):
        store.get("pipe")


def test_a_name_that_is_not_utf8_is_said(store, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / os.fsdecode(b"\xff.tif")).write_bytes(b"1")
    with pytest.raises(PermanentStoreError, match="not UTF-8; rename it") as caught:
        list(store.list())
    str(caught.value).encode()


def test_a_store_without_a_folder_is_empty(store):
    assert list(store.list()) == []
    store.delete(["x"])
    assert store.abort_uploads("", before=store.now()) == 0


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, ObjectMissing),
        (errno.ENOTDIR, ObjectMissing),
        (errno.EISDIR, ObjectMissing),
        (errno.EACCES, ObjectForbidden),
        (errno.EPERM, ObjectForbidden),
        (errno.EROFS, ObjectForbidden),
        (errno.EEXIST, PreconditionFailed),
        (errno.ENOSPC, PermanentStoreError),
        (errno.EDQUOT, PermanentStoreError),
        (errno.EFBIG, PermanentStoreError),
        (errno.EIO, PermanentStoreError),
        (errno.ENAMETOOLONG, PermanentStoreError),
        (errno.ESTALE, TransientStoreError),
        (errno.ETIMEDOUT, TransientStoreError),
        (errno.ECONNRESET, TransientStoreError),
        (errno.EMFILE, TransientStoreError),
        (errno.EINTR, TransientStoreError),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_errors_of_the_system_map(number, kind):
    mapped = os_error(OSError(number, os.strerror(number), "/secret/place"), "file:///x")
    assert type(mapped) is kind
    assert "file:///x" in str(mapped)


def test_a_full_disk_says_what_to_do():
    assert "free space" in str(os_error(OSError(errno.ENOSPC, "No space left on device"), "file:///x"))
    assert "free space" in str(os_error(OSError(errno.EFBIG, "File too large"), "file:///x"))


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_links_is_refused(number):
    mapped = link_error(OSError(number, os.strerror(number)), "file:///x")
    assert type(mapped) is PermanentStoreError
    assert "cannot link" in str(mapped)
    assert type(link_error(OSError(errno.ENOSPC, ""), "file:///x")) is PermanentStoreError
