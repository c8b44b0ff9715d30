from __future__ import annotations

import asyncio

import pytest

from encdec_batch.errors import ObjectMissing, PreconditionFailed, TransientStoreError
from encdec_batch.store.generic_errors import fsspec_error
from encdec_batch.store.retry import RetryPolicy

QUICK = RetryPolicy(total_s=30, first_wait_s=0.001, max_wait_s=0.002)


class Failing:
    def __init__(self, error, times):
        self.error, self.left, self.calls = error, times, 0

    def __call__(self):
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return self.calls

    async def later(self):
        return self()


def test_what_is_transient_is_tried_again():
    assert QUICK.run(Failing(TransientStoreError("no"), 3)) == 4
    assert asyncio.run(QUICK.run_async(Failing(TransientStoreError("no"), 3).later)) == 4


@pytest.mark.parametrize("error", [ObjectMissing("none"), PreconditionFailed("no"), ValueError("bug")])
def test_nothing_else_is(error):
    failing = Failing(error, 1)
    with pytest.raises(type(error)):
        QUICK.run(failing)
    assert failing.calls == 1


def test_the_last_error_comes_out_as_it_is():
    error = TransientStoreError("still not")
    with pytest.raises(TransientStoreError) as caught:
        RetryPolicy(total_s=0.02, first_wait_s=0.001, max_wait_s=0.002).run(Failing(error, 10**9))
    assert caught.value is error


def test_an_exception_from_the_rule():
    failing = Failing(TransientStoreError("no"), 5)
    with pytest.raises(TransientStoreError):
        QUICK.run(failing, unless=lambda _: failing.calls == 2)
    assert failing.calls == 2


def test_no_time_is_one_attempt():
    failing = Failing(TransientStoreError("no"), 5)
    with pytest.raises(TransientStoreError):
        QUICK.shortened(0).run(failing)
    assert failing.calls == 1


def test_the_default_ends():
    policy = RetryPolicy()
    assert policy.total_s <= 180
    assert policy.shortened(5).total_s == 5
    assert policy.shortened(10**6).total_s == policy.total_s
    assert policy.body_s(64 * 2**20) < 600


class _HttpError(Exception):
    def __init__(self, **status):
        self.__dict__.update(status)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("x"), ObjectMissing),
        (_HttpError(status=404), ObjectMissing),
        (_HttpError(code="412"), PreconditionFailed),
        (FileExistsError("x"), PreconditionFailed),
        (_HttpError(code=503), TransientStoreError),
        (_HttpError(status_code=429), TransientStoreError),
        (TimeoutError(), TransientStoreError),
        (ConnectionResetError(), TransientStoreError),
    ],
)
def test_errors_of_other_file_systems_map(error, kind):
    assert type(fsspec_error(error, "gs://bucket/x")) is kind
