from __future__ import annotations

import pytest
from contracts.store import StoreContract
from memory_s3 import MemoryS3
from proxy import proxy_of
from servers import s3_server_process

from encdec_batch.store.open import open_store
from encdec_batch.store.retry import RetryPolicy

pytestmark = pytest.mark.integration

QUICK = RetryPolicy(total_s=5, first_wait_s=0.01, max_wait_s=0.1, attempt_s=20)


@pytest.fixture(scope="module", params=["embedded", "in memory"])
def server(request):
    """The server of most tests, and the one of those that make thousands of calls, behind their proxy."""
    if request.param == "embedded":
        with s3_server_process() as server:
            yield server
    else:
        with proxy_of(MemoryS3()) as proxy:
            yield proxy.server


class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, server):
        self.client, self.bucket = server.client(), server.make_bucket()
        return open_store(f"s3://{self.bucket}/some/prefix", server.options, policy=QUICK)

    def set_behind(self, store, path, data):
        self.client.put_object(Bucket=self.bucket, Key=f"some/prefix/{path}", Body=data)

    def get_behind(self, store, path):
        try:
            return self.client.get_object(Bucket=self.bucket, Key=f"some/prefix/{path}")["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None

    def names_behind(self, store):
        objects = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return sorted(entry["Key"].removeprefix("some/prefix/") for entry in [*objects, *uploads])
