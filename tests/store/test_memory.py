from __future__ import annotations

import fsspec
import pytest
from contracts.store import StoreContract

from encdec_batch.store.open import open_store


class TestMemoryStore(StoreContract):
    shared_by_processes = False

    @pytest.fixture
    def store(self, tmp_path):
        self.root = f"/{tmp_path.name}"
        self.files = fsspec.filesystem("memory")
        yield open_store(f"memory:/{self.root}")
        if self.files.exists(self.root):
            self.files.rm(self.root, recursive=True)

    def set_behind(self, store, path, data):
        self.files.pipe_file(f"{self.root}/{path}", data)

    def get_behind(self, store, path):
        place = f"{self.root}/{path}"
        return self.files.cat_file(place) if self.files.exists(place) else None

    def names_behind(self, store):
        return sorted(name.removeprefix(f"{self.root}/") for name in self.files.find(self.root))
