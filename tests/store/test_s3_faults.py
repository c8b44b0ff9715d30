"""A server that misbehaves: what is retried, how often, and what a lost answer means."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest
from servers import Fault, faulty_s3_server

from encdec_batch.errors import (
    CredentialsExpired,
    ObjectForbidden,
    ObjectMissing,
    PermanentStoreError,
    PreconditionFailed,
    TransientStoreError,
)
from encdec_batch.store.object import Capabilities
from encdec_batch.store.open import open_store
from encdec_batch.store.retry import RetryPolicy
from encdec_batch.store.s3_upload import MIN_PART_BYTES, multipart_etag, part_size_for

pytestmark = pytest.mark.integration

QUICK = RetryPolicy(total_s=5, first_wait_s=0.01, max_wait_s=0.05, attempt_s=20)
ONCE = RetryPolicy(total_s=0, first_wait_s=0.01, max_wait_s=0.05, attempt_s=20)


@pytest.fixture(scope="module")
def running():
    with faulty_s3_server() as faulty:
        yield faulty


@pytest.fixture
def faulty(running):
    running.faults.clear()
    running.deaf_to.clear()
    yield running
    assert not running.faults, "a fault was never met"


@pytest.fixture
def bucket(faulty):
    return faulty.server.make_bucket()


@pytest.fixture
def store(faulty, bucket):
    store = open_store(f"s3://{bucket}", faulty.server.options, policy=QUICK)
    store.put("x", b"0123456789")
    faulty.requests.clear()
    return store


def tell(faulty, *faults):
    faulty.faults.extend(faults)


def uploads(faulty, bucket):
    return faulty.server.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])


@pytest.mark.parametrize("keep_bytes", [0, 3, 9])
def test_a_truncated_body_is_asked_for_again(faulty, store, keep_bytes):
    tell(faulty, Fault("GET", keep_bytes=keep_bytes))
    assert store.get("x") == b"0123456789"
    assert faulty.count("GET") == 2


def test_a_truncated_range_is_asked_for_again(faulty, store):
    tell(faulty, Fault("GET", keep_bytes=1), Fault("GET", keep_bytes=1))
    assert store.get_ranges("x", [(0, 4), (6, 10)]) == [b"0123", b"6789"]
    assert faulty.count("GET") == 4


def test_a_range_that_is_honestly_too_short_is_asked_for_again(faulty, store):
    def shorten(headers, body):
        return [(k, v) if k.lower() != "content-length" else (k, "2") for k, v in headers], body[:2]

    tell(faulty, Fault("GET", rewrite=shorten))
    assert store.get_ranges("x", [(0, 4)]) == [b"0123"]


def test_a_body_that_never_comes_whole_is_transient(faulty, bucket, store):
    hasty = open_store(f"s3://{bucket}", faulty.server.options, policy=ONCE)
    tell(faulty, Fault("GET", keep_bytes=5), Fault("GET", keep_bytes=1))
    with pytest.raises(TransientStoreError, match=f"s3://{bucket}/x"):
        hasty.get("x")
    with pytest.raises(TransientStoreError, match=f"s3://{bucket}/x"):
        hasty.get_ranges("x", [(0, 4)])


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (502, "BadGateway"),
        (503, "SlowDown"),
        (503, "ServiceUnavailable"),
        (504, "GatewayTimeout"),
        (429, "TooManyRequests"),
        (400, "RequestTimeout"),
        (409, "OperationAborted"),
    ],
)
def test_each_refusal_costs_one_request(faulty, store, status, code):
    # Were botocore or s3fs to retry as well, the faults would be used up by fewer attempts of ours.
    tell(faulty, *[Fault("GET", status=status, code=code)] * 3)
    assert store.get("x") == b"0123456789"
    assert faulty.count("GET") == 4
    faulty.faults.extend([Fault("GET", status=status, code=code)] * 2)
    with pytest.raises(TransientStoreError, match=code):
        open_store(store.uri, faulty.server.options, policy=ONCE).get("x")
    assert faulty.count("GET") == 5
    faulty.faults.clear()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", ObjectForbidden),
        (403, "SignatureDoesNotMatch", ObjectForbidden),
        (404, "NoSuchKey", ObjectMissing),
        (412, "PreconditionFailed", PreconditionFailed),
        (400, "InvalidRequest", PermanentStoreError),
        (501, "NotImplemented", PermanentStoreError),
        (507, "XMinioStorageFull", PermanentStoreError),
    ],
)
def test_what_waiting_does_not_heal_is_not_retried(faulty, store, status, code, kind):
    tell(faulty, Fault("GET", status=status, code=code))
    with pytest.raises(kind) as caught:
        store.get("x")
    assert type(caught.value) is kind
    assert faulty.count("GET") == 1


@pytest.mark.parametrize(("code", "kind"), [("AccessDenied", ObjectForbidden), ("ExpiredToken", CredentialsExpired)])
def test_why_an_object_is_forbidden_is_asked_for_where_a_head_cannot_say(faulty, store, code, kind):
    tell(faulty, Fault("HEAD", status=403), Fault("GET", status=403, code=code))
    with pytest.raises(kind, match=code):
        store.info("x")


def test_a_conflict_of_creators_is_retried(faulty, store):
    tell(faulty, Fault("PUT", status=409, code="ConditionalRequestConflict"))
    assert store.create("new", b"1").size == 1
    etag = store.info("new").etag
    tell(faulty, Fault("PUT", status=409, code="ConditionalRequestConflict"))
    assert store.replace("new", b"22", etag=etag).size == 2


def test_a_create_whose_answer_was_lost_has_succeeded(faulty, store):
    tell(faulty, Fault("PUT", hang_up=True))
    info = store.create("new", b"1")
    assert info.etag == store.info("new").etag
    assert faulty.count("PUT") == 2


def test_a_replace_whose_answer_was_lost_has_succeeded(faulty, store):
    tell(faulty, Fault("PUT", hang_up=True))
    info = store.replace("x", b"new", etag=store.info("x").etag)
    assert info.etag == store.info("x").etag
    assert store.get("x") == b"new"


def test_a_lost_answer_does_not_claim_what_another_wrote(faulty, store):
    tell(faulty, Fault("PUT", status=500))
    with pytest.raises(PreconditionFailed):
        store.create("x", b"mine")
    assert store.get("x") == b"0123456789"


def test_the_caller_may_look_before_a_lost_write_is_repeated(faulty, store):
    tell(faulty, Fault("PUT", hang_up=True))
    with pytest.raises(TransientStoreError) as caught:
        store.create("new", b"1", retry_unknown=False)
    assert caught.value.context["outcome_unknown"] is True
    tell(faulty, Fault("PUT", status=500))
    with pytest.raises(TransientStoreError) as caught:
        store.replace("x", b"1", etag=store.info("x").etag, retry_unknown=False)
    assert caught.value.context["outcome_unknown"] is True
    assert faulty.count("PUT") == 2
    # A refusal is an answer.
    tell(faulty, Fault("PUT", status=503, code="SlowDown"))
    store.replace("x", b"1", etag=store.info("x").etag, retry_unknown=False)


def test_a_stale_answer_is_noticed_where_the_server_ignores_if_match(faulty, store):
    etag = store.info("x").etag
    store.put("x", b"9876543210")
    faulty.deaf_to.add("HTTP_IF_MATCH")
    with pytest.raises(PreconditionFailed):
        store.get("x", etag=etag)
    with pytest.raises(PreconditionFailed):
        store.get_ranges("x", [(0, 2)], etag=etag)
    with pytest.raises(PreconditionFailed):
        store.delete_if_match("x", etag)
    assert store.get("x") == b"9876543210"


def test_ranges_of_two_versions_are_not_mixed(faulty, store):
    def other_etag(headers, body):
        return [(k, v) if k.lower() != "etag" else (k, '"other"') for k, v in headers], body

    tell(faulty, Fault("GET", rewrite=other_etag))
    with pytest.raises(TransientStoreError, match="changed"):
        store.get_ranges("x", [(0, 2), (5, 7)])


@pytest.mark.parametrize(
    ("deaf_to", "seen"),
    [
        (set(), Capabilities(create_only=True, if_match=True)),
        ({"HTTP_IF_MATCH"}, Capabilities(create_only=True, if_match=False)),
        ({"HTTP_IF_NONE_MATCH"}, Capabilities(create_only=False, if_match=False)),
        ({"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"}, Capabilities(create_only=False, if_match=False)),
    ],
    ids=["able", "no If-Match", "no If-None-Match", "neither"],
)
def test_probing_does_not_believe_a_deaf_server(faulty, store, deaf_to, seen):
    faulty.deaf_to |= deaf_to
    assert store.probe() == seen
    assert [info.path for info in store.list()] == ["x"]


def test_probing_takes_not_implemented_for_an_answer(faulty, store):
    tell(faulty, Fault("PUT", status=501, code="NotImplemented", header="HTTP_IF_MATCH"))
    assert store.probe() == Capabilities(create_only=True, if_match=False)


def test_a_large_object_goes_up_in_parts(faulty, bucket, store):
    data = bytes(range(256)) * (MIN_PART_BYTES // 256 * 2 + 100)
    with store.open_writer("big") as writer:
        for start in range(0, len(data), 5_000_000):
            writer.write(data[start : start + 5_000_000])
        assert uploads(faulty, bucket)
        assert store.list().__next__().path == "x"
        assert writer.finish() is True
    assert store.get("big") == data
    assert uploads(faulty, bucket) == []
    assert store.info("big").etag.endswith("-3")
    parts = [data[start : start + MIN_PART_BYTES] for start in range(0, len(data), MIN_PART_BYTES)]
    assert store.info("big").etag == multipart_etag([store.put("part", part).etag for part in parts])


def test_an_error_in_mid_upload_leaves_nothing(faulty, bucket, store):
    def fail():
        with store.open_writer("big") as writer:
            writer.write(bytes(MIN_PART_BYTES + 1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert uploads(faulty, bucket) == []
    assert [info.path for info in store.list()] == ["x"]


def test_a_part_that_cannot_be_sent_aborts_the_upload(faulty, bucket, store):
    tell(faulty, Fault("PUT", status=403, code="AccessDenied"))

    def send():
        with store.open_writer("big") as writer:
            writer.write(bytes(MIN_PART_BYTES + 1))
            writer.finish()

    with pytest.raises(ObjectForbidden):
        send()
    assert uploads(faulty, bucket) == []
    assert [info.path for info in store.list()] == ["x"]


def test_parts_and_completion_are_retried(faulty, bucket, store):
    tell(
        faulty,
        Fault("PUT", status=503, code="SlowDown"),
        Fault("PUT", hang_up=True),
        Fault("POST", status=500, query="uploads"),
        Fault("POST", status=409, code="ConditionalRequestConflict", query="uploadId"),
    )
    with store.open_writer("big") as writer:
        writer.write(bytes(MIN_PART_BYTES + 1))
        assert writer.finish() is True
    assert store.info("big").size == MIN_PART_BYTES + 1
    assert uploads(faulty, bucket) == []


def test_a_completion_whose_answer_was_lost_has_succeeded(faulty, bucket, store):
    tell(faulty, Fault("POST", hang_up=True, query="uploadId"))
    with store.open_writer("big") as writer:
        writer.write(b"small, but")
        writer.start_upload()
        assert writer.finish() is True
    assert store.get("big") == b"small, but"
    assert uploads(faulty, bucket) == []


def test_a_completion_lost_before_another_won_has_not(faulty, bucket, store):
    with store.open_writer("big") as writer:
        writer.write(b"mine")
        writer.start_upload()
        store.put("big", b"theirs")
        tell(faulty, Fault("POST", status=500, query="uploadId"))
        assert writer.finish() is False
    assert store.get("big") == b"theirs"
    assert uploads(faulty, bucket) == []


def test_an_upload_that_somebody_aborted_is_transient(faulty, bucket, store):
    # moto answers with 500 here, S3 with this:
    tell(faulty, Fault("POST", status=404, code="NoSuchUpload", query="uploadId"))

    def finish():
        with store.open_writer("big") as writer:
            writer.write(b"mine")
            writer.start_upload()
            writer.finish()

    with pytest.raises(TransientStoreError, match="aborted by another process"):
        finish()
    assert uploads(faulty, bucket) == []
    assert [info.path for info in store.list()] == ["x"]


def test_only_old_uploads_below_the_prefix_are_aborted(faulty, bucket, store):
    store.open_writer("a/x").start_upload()
    store.open_writer("b/x").start_upload()
    # moto says 2010 for every upload.
    assert store.abort_uploads("a/", before=1_000_000_000.0) == 0
    assert store.abort_uploads("a/", before=store.now()) == 1
    assert [upload["Key"] for upload in uploads(faulty, bucket)] == ["b/x"]


@pytest.mark.parametrize(
    ("expected", "size"),
    [(0, MIN_PART_BYTES), (10**9, MIN_PART_BYTES), (9000 * MIN_PART_BYTES + 1, MIN_PART_BYTES + 1)],
)
def test_parts_are_large_enough_for_the_whole(expected, size):
    assert part_size_for(expected) == size
    assert part_size_for(expected) * 9_000 >= expected


def test_listing_and_deleting_go_by_pages(faulty, bucket, store):
    names = [f"many/{i:04}" for i in range(1100)]
    faulty.fill(bucket, names)
    listing = store.list("many/")
    assert faulty.count("GET") == 0
    assert next(listing).path == names[0]
    assert faulty.count("GET") == 1
    assert [info.path for info in listing] == names[1:]
    assert faulty.count("GET") == 2
    store.delete(names)
    assert faulty.count("POST") == 2
    assert [info.path for info in store.list()] == ["x"]


def test_an_unreadable_page_is_asked_for_again(faulty, store):
    tell(
        faulty,
        Fault("GET", keep_bytes=60, query="list-type"),
        Fault("GET", rewrite=lambda headers, body: (_length(headers, 60), body[:60]), query="list-type"),
    )
    assert [info.path for info in store.list()] == ["x"]


def _length(headers, length):
    return [(k, v) if k.lower() != "content-length" else (k, str(length)) for k, v in headers]


def _failed(entries):
    errors = "".join(f"<Error><Key>{key}</Key><Code>{code}</Code></Error>" for key, code in entries)
    body = f"<?xml version='1.0'?><DeleteResult>{errors}</DeleteResult>".encode()
    return lambda headers, _: (_length(headers, len(body)), body)


def test_only_what_failed_is_deleted_again(faulty, store):
    bodies = []

    def slow(headers, body):
        bodies.append(body)
        return _failed([("b", "SlowDown"), ("none", "NoSuchKey")])(headers, body)

    tell(faulty, Fault("POST", rewrite=slow))
    store.delete(["a", "b", "none"])
    assert faulty.count("POST") == 2
    lengths = [int(r["CONTENT_LENGTH"]) for r in faulty.requests if r["REQUEST_METHOD"] == "POST"]
    assert lengths[1] < lengths[0]


def test_what_may_not_be_deleted_is_said(faulty, bucket, store):
    tell(faulty, Fault("POST", rewrite=_failed([("a", "SlowDown"), ("b", "AccessDenied")])))
    with pytest.raises(ObjectForbidden, match=f"s3://{bucket}/b"):
        store.delete(["a", "b"])
    assert faulty.count("POST") == 1


def test_a_missing_bucket_is_named(faulty):
    store = open_store("s3://no-such-bucket-here", faulty.server.options, policy=QUICK)
    with pytest.raises(ObjectMissing, match=r"no-such-bucket-here.*NoSuchBucket.*create the bucket"):
        list(store.list())
    with pytest.raises(ObjectMissing, match="NoSuchBucket"):
        store.create("x", b"1")


def test_the_clock_needs_no_object_and_no_rights(faulty, store):
    tell(faulty, Fault("HEAD", status=403), Fault("HEAD", status=503))
    assert store.now() == pytest.approx(store.put("y", b"").modified, abs=5)
    assert store.now() == pytest.approx(store.put("y", b"").modified, abs=5)


def test_an_unreachable_store_is_one_clear_line():
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    policy = RetryPolicy(total_s=0.3, first_wait_s=0.01, max_wait_s=0.05)
    options = {"endpoint_url": f"http://127.0.0.1:{port}", "region": "us-east-1", "anon": True}
    store = open_store("s3://bucket", options, policy=policy)
    for call in (store.probe, store.now, lambda: store.get("x"), lambda: list(store.list())):
        with pytest.raises(TransientStoreError, match=r"s3://bucket.*cannot be reached.*check endpoint_url") as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(TransientStoreError) as caught:
        store.create("x", b"1")
    assert caught.value.context["outcome_unknown"] is False


def test_a_silent_server_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as server:
        policy = RetryPolicy(total_s=0, attempt_s=0.2)
        options = {"endpoint_url": f"http://127.0.0.1:{server.getsockname()[1]}", "region": "us-east-1", "anon": True}
        store = open_store("s3://bucket", options, policy=policy)
        with pytest.raises(TransientStoreError, match="s3://bucket/x"):
            store.get("x")
        with pytest.raises(TransientStoreError) as caught:
            store.create("x", b"1")
        assert caught.value.context["outcome_unknown"] is True
