"""A cluster's dashboard, and the environment of somebody who has its token."""

from __future__ import annotations

import pytest
from submit.jobs_server import TOKEN, jobs_server


@pytest.fixture(autouse=True)
def token(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)


@pytest.fixture
def server():
    with jobs_server() as server:
        yield server
