"""What every store promises. A store's tests inherit `StoreContract` and say how to get at objects behind its back."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encdec_batch.errors import ObjectMissing, PermanentStoreError, PreconditionFailed
from encdec_batch.store.object import Capabilities
from encdec_batch.store.store import Store

ODD_NAMES = [
    "plain.bin",
    "a folder/with spaces & signs +%20?#=.tif",
    "ümläut/日本/😀.bin",
    "deep/er/and/deep/er/x",
    "dots/...name..",
]


class StoreContract:
    """Subclasses give the fixture `store` (empty, with a short retry policy) and the three methods below."""

    can_compare = True
    """Whether `replace` and `delete_if_match` are to be had."""
    shared_by_processes = True
    """Whether another process sees the same objects."""

    def set_behind(self, store: Store, path: str, data: bytes) -> None:
        raise NotImplementedError

    def get_behind(self, store: Store, path: str) -> bytes | None:
        raise NotImplementedError

    def names_behind(self, store: Store) -> list[str]:
        """Every name there is, whoever made it: left-over uploads and temporary files as well."""
        raise NotImplementedError

    # Reading

    @pytest.mark.parametrize("path", ODD_NAMES)
    def test_reads_what_others_wrote(self, store, path):
        self.set_behind(store, path, b"0123456789")
        info = store.info(path)
        assert (info.path, info.size) == (path, 10)
        assert store.get(path) == b"0123456789"
        assert store.get(path, etag=info.etag) == b"0123456789"
        assert store.get_with_info(path) == (b"0123456789", info)
        assert list(store.list()) == [info]

    def test_reads_an_empty_object(self, store):
        self.set_behind(store, "empty", b"")
        assert store.get("empty") == b""
        assert store.get_ranges("empty", [(0, 0)]) == [b""]
        assert store.info("empty").size == 0

    def test_ranges_come_in_the_order_asked_for(self, store):
        data = bytes(range(256)) * 8
        self.set_behind(store, "x", data)
        ranges = [(2000, 2048), (0, 1), (5, 5), (7, 900), (7, 900), (0, 2048), *[(i, i + 3) for i in range(40)]]
        assert store.get_ranges("x", ranges) == [data[a:b] for a, b in ranges]
        assert store.get_ranges("x", ranges, etag=store.info("x").etag) == [data[a:b] for a, b in ranges]
        assert store.get_ranges("x", []) == []

    @pytest.mark.parametrize("pair", [(0, 11), (10, 11), (11, 12), (500, 600), (5, 4), (-3, 2)])
    def test_a_range_beyond_the_end_is_refused(self, store, pair):
        self.set_behind(store, "x", b"0123456789")
        with pytest.raises(PermanentStoreError):
            store.get_ranges("x", [(0, 2), pair])

    @pytest.mark.parametrize(
        "call",
        [
            lambda store: store.info("none"),
            lambda store: store.get("none"),
            lambda store: store.get("none", etag="abc"),
            lambda store: store.get_with_info("none"),
            lambda store: store.get_ranges("none", [(0, 1)]),
        ],
        ids=["info", "get", "get-pinned", "get_with_info", "get_ranges"],
    )
    def test_what_is_missing_is_said_at_once(self, store, call):
        with pytest.raises(ObjectMissing, match="none"):
            call(store)

    def test_a_folder_is_not_an_object(self, store):
        self.set_behind(store, "folder/x", b"1")
        with pytest.raises(ObjectMissing):
            store.info("folder")
        with pytest.raises(ObjectMissing):
            store.get("folder")

    @pytest.mark.parametrize("path", ["", "/", "/etc/passwd", "../x", "a/../x", "a/./x", ".", "..", "a/", "a\0b"])
    def test_paths_stay_below_the_store(self, store, path):
        for call in (store.info, store.get, store.get_with_info, store.open_writer):
            with pytest.raises(PermanentStoreError):
                call(path)
        for write in (store.put, store.create):
            with pytest.raises(PermanentStoreError):
                write(path, b"1")
        with pytest.raises(PermanentStoreError):
            store.delete([path])
        assert self.names_behind(store) == []

    def test_a_pinned_read_of_a_replaced_object_fails(self, store):
        self.set_behind(store, "x", b"0123456789")
        etag = store.info("x").etag
        self.set_behind(store, "x", b"9876543210")
        with pytest.raises(PreconditionFailed):
            store.get("x", etag=etag)
        with pytest.raises(PreconditionFailed):
            store.get_ranges("x", [(0, 3), (4, 9)], etag=etag)
        assert store.info("x").etag != etag

    # Writing

    @pytest.mark.parametrize("path", ODD_NAMES)
    def test_writes_what_others_read(self, store, path):
        created = store.create(path, b"first")
        assert self.get_behind(store, path) == b"first"
        assert (created.path, created.size, created.etag) == (path, 5, store.info(path).etag)
        put = store.put(path, b"second!")
        assert self.get_behind(store, path) == b"second!"
        assert put.etag == store.info(path).etag != created.etag

    def test_create_never_overwrites(self, store):
        self.set_behind(store, "x", b"theirs")
        with pytest.raises(PreconditionFailed):
            store.create("x", b"ours")
        assert self.get_behind(store, "x") == b"theirs"

    def test_of_racing_creators_one_wins(self, store):
        names = [str(i).encode() * 1000 for i in range(8)]
        together = threading.Barrier(len(names))

        def race(data):
            together.wait()
            try:
                store.create("prize", data)
            except PreconditionFailed:
                return None
            return data

        with ThreadPoolExecutor(len(names)) as pool:
            winners = [data for data in pool.map(race, names) if data is not None]
        assert len(winners) == 1
        assert self.get_behind(store, "prize") == winners[0]

    def test_of_racing_writers_one_wins(self, store):
        together = threading.Barrier(4)

        def race(data):
            with store.open_writer("prize") as writer:
                writer.write(data)
                together.wait()
                return data if writer.finish() else None

        with ThreadPoolExecutor(4) as pool:
            winners = [data for data in pool.map(race, [b"a" * 99, b"b" * 99, b"c" * 99, b"d" * 99]) if data]
        assert len(winners) == 1
        assert self.get_behind(store, "prize") == winners[0]
        assert self.names_behind(store) == ["prize"]

    def test_replace_changes_only_what_the_etag_names(self, store):
        if not self.can_compare:
            pytest.skip("this store cannot compare")
        first = store.create("x", b"1")
        second = store.replace("x", b"22", etag=first.etag)
        assert second.etag == store.info("x").etag
        with pytest.raises(PreconditionFailed):
            store.replace("x", b"333", etag=first.etag)
        assert self.get_behind(store, "x") == b"22"
        store.delete(["x"])
        with pytest.raises(PreconditionFailed):
            store.replace("x", b"333", etag=second.etag)
        assert self.get_behind(store, "x") is None

    def test_of_racing_replacers_one_wins(self, store):
        if not self.can_compare:
            pytest.skip("this store cannot compare")
        etag = store.create("x", b"start").etag
        together = threading.Barrier(8)

        def race(data):
            together.wait()
            try:
                store.replace("x", data, etag=etag)
            except PreconditionFailed:
                return None
            return data

        with ThreadPoolExecutor(8) as pool:
            winners = [data for data in pool.map(race, [str(i).encode() * 50 for i in range(8)]) if data]
        assert len(winners) == 1
        assert self.get_behind(store, "x") == winners[0]
        assert self.names_behind(store) == ["x"]

    def test_every_change_changes_the_etag(self, store):
        # As fast as it goes and all of one size: neither the clock's step nor the size tells them apart.
        etags = [store.put("x", f"{i:04}".encode()).etag for i in range(30)]
        assert len(set(etags)) == len(etags)

    def test_a_counter_raised_by_many_loses_no_step(self, store):
        if not self.can_compare:
            pytest.skip("this store cannot compare")
        store.create("n", b"0")

        def raise_it(times):
            while times:
                data, info = store.get_with_info("n")
                try:
                    store.replace("n", str(int(data) + 1).encode(), etag=info.etag)
                except PreconditionFailed:
                    continue
                times -= 1

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(raise_it, [5] * 4))
        assert self.get_behind(store, "n") == b"20"

    # Streaming

    def test_a_writer_publishes_at_finish(self, store):
        with store.open_writer("x") as writer:
            writer.write(b"abc")
            writer.write(b"")
            writer.write(b"def")
            assert self.get_behind(store, "x") is None
            assert list(store.list()) == []
            assert writer.finish() is True
        assert self.get_behind(store, "x") == b"abcdef"
        assert self.names_behind(store) == ["x"]

    def test_a_writer_may_write_nothing(self, store):
        with store.open_writer("x") as writer:
            assert writer.finish() is True
        assert self.get_behind(store, "x") == b""

    def test_a_writer_never_overwrites(self, store):
        self.set_behind(store, "x", b"theirs")
        for data in (b"", b"ours"):
            with store.open_writer("x") as writer:
                writer.write(data)
                assert writer.finish() is False
        assert self.get_behind(store, "x") == b"theirs"
        assert self.names_behind(store) == ["x"]

    def test_leaving_without_finish_leaves_nothing(self, store):
        with store.open_writer("x") as writer:
            writer.write(b"abc")

        def fail():
            with store.open_writer("x") as writer:
                writer.write(b"abc")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert self.names_behind(store) == []

    def test_a_finished_writer_refuses_more(self, store):
        with store.open_writer("x") as writer:
            writer.write(b"abc")
            writer.finish()
            with pytest.raises(ValueError, match="finished"):
                writer.write(b"d")
            with pytest.raises(ValueError, match="finished"):
                writer.finish()
        assert self.get_behind(store, "x") == b"abc"

    def test_bytes_like_objects_are_written(self, store):
        with store.open_writer("x") as writer:
            writer.write(bytearray(b"ab"))
            writer.write(memoryview(b"cd"))
            writer.finish()
        assert self.get_behind(store, "x") == b"abcd"

    # Listing and deleting

    def test_lists_in_the_order_of_keys(self, store):
        names = ["a-b", "a.b/c", "a/b-", "a/b.c", "a/b/c", "a0", "ab", "B", "z/ü", "z/z", "z/😀", "z/\uffee"]
        for name in names:
            self.set_behind(store, name, name.encode())
        listed = [info.path for info in store.list()]
        assert listed == sorted(names, key=str.encode)
        assert [info.path for info in store.list("a/")] == ["a/b-", "a/b.c", "a/b/c"]
        assert list(store.list("none/")) == []
        assert {info.path: info for info in store.list()} == {name: store.info(name) for name in names}

    def test_a_prefix_is_a_folder(self, store):
        for name in ("ab", "a/b", "abc/d"):
            self.set_behind(store, name, b"1")
        assert [info.path for info in store.list("a/")] == ["a/b"]
        for prefix in ("a", "/", "../", "a//"):
            with pytest.raises(PermanentStoreError):
                list(store.list(prefix))

    # Examples clean up behind themselves; every subclass runs its own.
    @settings(
        max_examples=10,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(
        names=st.lists(
            st.lists(st.text("ab-./0ü😀", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
            max_size=6,
        )
    )
    def test_lists_what_was_written(self, store, names):
        wanted: set[str] = set()
        store.delete([info.path for info in list(store.list())])
        for name in names:
            parts = name.split("/")
            is_taken = any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in wanted)
            if "" not in parts and "." not in parts and ".." not in parts and not is_taken:
                self.set_behind(store, name, b"1")
                wanted.add(name)
        try:
            assert [info.path for info in store.list()] == sorted(wanted, key=str.encode)
        finally:
            store.delete(wanted)
        assert list(store.list()) == []

    def test_deletes_what_is_there(self, store):
        for name in ("a", "b/c", "d"):
            self.set_behind(store, name, b"1")
        store.delete(["a", "none", "b/c", "none/either"])
        assert self.names_behind(store) == ["d"]
        store.delete([])

    def test_deletes_only_what_the_etag_names(self, store):
        if not self.can_compare:
            pytest.skip("this store cannot compare")
        old = store.put("x", b"1").etag
        new = store.put("x", b"2").etag
        with pytest.raises(PreconditionFailed):
            store.delete_if_match("x", old)
        assert self.get_behind(store, "x") == b"2"
        store.delete_if_match("x", new)
        store.delete_if_match("x", new)
        assert self.names_behind(store) == []

    # The store itself

    def test_its_clock_goes_with_its_objects(self, store):
        # An object store's times are whole seconds.
        before = store.now()
        modified = store.put("x", b"1").modified
        assert before - 1 <= modified <= store.now() + 1
        assert abs(store.info("x").modified - modified) <= 1
        assert abs(store.now() - time.time()) < 60

    def test_probing_finds_what_it_can_and_leaves_nothing(self, store):
        assert store.probe() == Capabilities(create_only=True, if_match=self.can_compare)
        assert self.names_behind(store) == []

    def test_aborting_uploads_spares_objects(self, store):
        self.set_behind(store, "a/x", b"1")
        store.abort_uploads("a/", before=store.now() + 60)
        assert self.names_behind(store) == ["a/x"]

    def test_survives_pickling(self, store):
        self.set_behind(store, "x", b"1")
        again = pickle.loads(pickle.dumps(store))
        assert again.get("x") == b"1"
        assert again.uri == store.uri
        assert store.uri in repr(store)

    @pytest.mark.integration
    @pytest.mark.parametrize("method", ["fork", "spawn"])
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_works_in_another_process(self, store, method):
        if not self.shared_by_processes:
            pytest.skip("another process has other objects")
        self.set_behind(store, "x", b"from here")
        assert store.get("x") == b"from here"
        context = multiprocessing.get_context(method)
        process = context.Process(target=_read_and_write, args=(store,))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert self.get_behind(store, "y") == b"from here, too"
        assert store.get("x") == b"from here"

    def test_is_shared_by_threads(self, store):
        self.set_behind(store, "x", bytes(1000))
        with ThreadPoolExecutor(8) as pool:
            bodies = list(pool.map(lambda i: store.get_ranges("x", [(i, 1000)])[0], range(32)))
        assert [len(body) for body in bodies] == [1000 - i for i in range(32)]


def _read_and_write(store: Store) -> None:
    store.create("y", store.get("x") + b", too")
