#!/usr/bin/env python3
"""A night on Kubernetes: makes a RayJob of a suspended one, waits for its end, and ends as it does.

It runs in the pod of a CronJob, whose `concurrencyPolicy: Forbid` covers pods alone. The RayJob is named after that
pod's Job and owned by it: a pod that is started again for the same night finds the night's RayJob instead of making a
second, and with the Job the RayJob goes. Which night it is stands in the RayJob from its first start: whatever is
started for it after noon is of the same night.

The spec is looked at before a cluster is made for it, for a RayJob tries twice whatever failed.

Exit codes: 0 the night succeeded; 1 it did not, or may not be made; 2 wrong arguments or a wrong spec; 75 Kubernetes
did not answer (a new pod goes on).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from encdec_batch.errors import SpecError
from encdec_batch.nightly.check import check_archive
from encdec_batch.nightly.night import night_of
from encdec_batch.spec.load_nightly import load_nightly_spec

FAILED, WRONG, NO_ANSWER = 1, 2, 75
TERMINAL = {"Complete", "Failed"}
NOT_FOUND, CONFLICT = 404, 409
SERVER = "https://kubernetes.default.svc"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LONGEST_NAME = 47
"""Of a RayJob, as KubeRay's operator checks it."""
ENOUGH = 40
"""Questions in a row without an answer, a quarter of a minute apart: an API server that is replaced is back by then."""


class NightError(Exception):
    """The night cannot be made or did not end well; the message is for the pod's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayJobs:
    """The RayJobs of one namespace, by the API of Kubernetes, as the pod's service account.

    Args:
        server: of Kubernetes' API.
        account: folder with `token`, which Kubernetes renews every hour, `namespace` and `ca.crt`.
    """

    server: str = SERVER
    account: Path = ACCOUNT

    def get(self, name: str) -> dict[str, Any]:
        """One of them, as it is now."""
        return self._ask("GET", f"/{name}")

    def create(self, body: dict[str, Any]) -> bool:
        """Makes one; False where its name is there already."""
        return bool(self._ask("POST", "", body, there_already=CONFLICT))

    def _ask(
        self, verb: str, path: str, body: dict[str, Any] | None = None, *, there_already: int | None = None
    ) -> dict[str, Any]:
        namespace, certificate = (self.account / "namespace").read_text(), self.account / "ca.crt"
        answer = requests.request(
            verb,
            f"{self.server}/apis/ray.io/v1/namespaces/{namespace}/rayjobs{path}",
            json=body,
            headers={"Authorization": f"Bearer {(self.account / 'token').read_text()}"},
            verify=str(certificate) if certificate.exists() else True,
            timeout=30,
        )
        if answer.status_code == there_already:
            return {}
        if 400 <= answer.status_code < 500 and answer.status_code != requests.codes.too_many_requests:
            missing = "it was deleted, or cluster/kubernetes/night was never applied"
            hint = missing if answer.status_code == NOT_FOUND else "see Role encdec-batch-night"
            raise NightError(f"{verb} rayjobs{path}: {answer.status_code} {_message(answer)}; {hint}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def tonight(template: dict[str, Any], *, job: str, uid: str, night: str) -> dict[str, Any]:
    """The RayJob of a night: what the suspended one says, awake, with the night's name, owned by the Job that waits.

    Raises:
        NightError: the Job's name is too long.
    """
    # Not of the same name: KubeRay submits by a Job that is named as its RayJob, and would take ours for that one.
    name = f"{job}-night"
    if len(name) > LONGEST_NAME:
        raise NightError(f"the Job's name {job} is too long: at most {LONGEST_NAME - len('-night')} characters")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid, "blockOwnerDeletion": False}
    return {
        "apiVersion": template["apiVersion"],
        "kind": template["kind"],
        "metadata": {
            "name": name,
            "labels": template["metadata"].get("labels", {}),
            "ownerReferences": [owner],
        },
        "spec": {
            **template["spec"],
            "suspend": False,
            "entrypoint": f"{template['spec']['entrypoint']} --night {night}",
        },
    }


def run(rayjobs: RayJobs, template: str, *, job: str, uid: str, night: str, every_s: float = 15.0) -> None:  # noqa: PLR0913
    """Makes the night's RayJob, or finds it, and returns when it has succeeded.

    Args:
        rayjobs: of the namespace.
        template: name of the suspended RayJob.
        job: name of the Job that waits.
        uid: of that Job.
        night: which it is, if it is not there yet.
        every_s: how often it is asked for.

    Raises:
        NightError: it failed, was stopped or deleted, or Kubernetes refuses.
        requests.RequestException: no answer, again and again.
    """
    body = tonight(rayjobs.get(template), job=job, uid=uid, night=night)
    name = body["metadata"]["name"]
    made = rayjobs.create(body)
    if not made and (owner := _owner(rayjobs.get(name))) != uid:
        raise NightError(
            f"RayJob {name} is there already, and of another Job (uid {owner or 'none'}); delete it, or start a Job of "
            "another name"
        )
    print(f"RayJob {name} {'made' if made else 'is there already'}; waiting for its end", flush=True)
    status = _end(rayjobs, name, every_s)
    # One that somebody stopped is Complete, and no success.
    if status.get("jobStatus") != "SUCCEEDED":
        why = status.get("message") or status.get("reason") or "see its driver's log"
        ended = f"{status['jobDeploymentStatus']}, its job as {status.get('jobStatus') or 'never started'}"
        raise NightError(f"RayJob {name} ended as {ended}: {why}")


def _owner(rayjob: dict[str, Any]) -> str:
    """The uid of the Job that a RayJob belongs to; empty: it belongs to none."""
    owners = rayjob.get("metadata", {}).get("ownerReferences") or [{}]
    return str(owners[0].get("uid", ""))


def _end(rayjobs: RayJobs, name: str, every_s: float) -> dict[str, Any]:
    """The last status of a RayJob; what changes is said meanwhile."""
    said, silent = "", 0
    while True:
        try:
            status: dict[str, Any] = rayjobs.get(name).get("status", {})
            silent = 0
        except requests.RequestException as error:
            silent += 1
            print(f"no answer from Kubernetes ({silent} of {ENOUGH}): {error}", flush=True)
            if silent == ENOUGH:
                raise
            status = {}
        deployment = status.get("jobDeploymentStatus", "")
        if deployment and (now := f"{deployment} {status.get('jobStatus', '')}") != said:
            said = now
            print(f"RayJob {name}: {said}", flush=True)
        if deployment in TERMINAL:
            return status
        time.sleep(every_s)


def main(arguments: list[str] | None = None, rayjobs: RayJobs | None = None) -> int:
    """The command line; names come from the pod's environment (cluster/kubernetes/night/cronjob.yaml)."""
    parser = argparse.ArgumentParser(description="Run a copy of a suspended RayJob and wait for its end.")
    parser.add_argument("template", help="name of the suspended RayJob")
    parser.add_argument("--spec", help="the night's spec, to be looked at first; the same file as on the cluster")
    options = parser.parse_args(arguments)
    job, uid = os.environ.get("JOB_NAME"), os.environ.get("JOB_UID")
    if not (job and uid):
        parser.error("JOB_NAME and JOB_UID of the pod's Job are not set in its environment")
    try:
        if options.spec is not None:
            check_archive(load_nightly_spec(options.spec))
        run(rayjobs or RayJobs(), options.template, job=job, uid=uid, night=night_of(time.time()))
    except SpecError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except NightError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except requests.RequestException as error:
        print(f"error: no answer from Kubernetes: {error}", file=sys.stderr)
        return NO_ANSWER
    return 0


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("message", ""))
    except ValueError:
        return answer.text[:200]


if __name__ == "__main__":
    sys.exit(main())
