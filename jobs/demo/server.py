"""The demo's own S3 server, and an environment in which every client finds that and nothing else."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from jobs.demo.command import GRACE_S, SAMPLES, check, say


@contextmanager
def s3_server() -> Iterator[Any]:
    """A boto3 client of a fresh server; the environment of this process, and of those it starts, leads there."""
    command = [sys.executable, str(SAMPLES / "s3_server.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0, text=True
    ) as process:
        try:
            port = process.stdout.readline().strip()
            check(port.isdecimal(), "the S3 server should start (it is part of the dev extra)")
            _set_environment(f"http://127.0.0.1:{port}")
            say(f"An S3 server of this demo's own: {os.environ['AWS_ENDPOINT_URL']}")
            yield boto3.client("s3")
        finally:
            process.stdin.close()
            try:
                process.wait(GRACE_S)
            except (KeyboardInterrupt, subprocess.TimeoutExpired):
                process.kill()


def _set_environment(endpoint: str) -> None:
    """What an S3 client looks at: nothing of the user's own accounts and proxies is used."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")), "127.0.0.1"]))
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint,
        AWS_ACCESS_KEY_ID="demo",
        AWS_SECRET_ACCESS_KEY=secrets.token_hex(16),
        AWS_DEFAULT_REGION="us-east-1",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
        NO_PROXY=direct,
        no_proxy=direct,
    )
