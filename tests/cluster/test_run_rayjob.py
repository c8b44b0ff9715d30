"""The pod that waits for a night, against an API of Kubernetes that is a fake."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests
from cluster.manifests import ROOT, one, typos
from cluster.rules import faults

from cluster.bin.run_rayjob import FAILED, NO_ANSWER, WRONG, NightError, RayJobs, main, run, tonight

TEMPLATE = one("RayJob", "retrain")
JOB, NAME, UID = "retrain-29384730", "retrain-29384730-night", "5a0b"
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}


class Kubernetes(BaseHTTPRequestHandler):
    """Rayjobs of one namespace. `answers`: of each question for the night's RayJob, a status or an HTTP code."""

    def do_GET(self):
        if not self._known():
            return
        name = self.path.rpartition("/")[2]
        if name == "retrain":
            self._answer(200, TEMPLATE | {"status": {"jobDeploymentStatus": "Suspended"}})
        elif name in self.server.made:
            said = self.server.answers.pop(0)
            there = self.server.made[name]
            self._answer(*((said, {"message": "no"}) if isinstance(said, int) else (200, there | {"status": said})))
        else:
            self._answer(404, {"message": "not found"})

    def do_POST(self):
        if not self._known():
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["metadata"]["name"]
        if name in self.server.made:
            self._answer(409, {"message": "already exists"})
        else:
            self.server.made[name] = body
            self._answer(201, body)

    def _known(self):
        known = self.headers["Authorization"] == "Bearer a-token" and self.path.startswith(
            "/apis/ray.io/v1/namespaces/nights/rayjobs"
        )
        if not known:
            self._answer(403, {"message": "not yours"})
        return known

    def _answer(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def kubernetes(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "token").write_text("a-token")
    (tmp_path / "namespace").write_text("nights")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kubernetes)
    server.made, server.answers = {}, []
    server.rayjobs = RayJobs(server=f"http://127.0.0.1:{server.server_port}", account=tmp_path)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def night(kubernetes, *answers):
    kubernetes.answers = list(answers)
    run(kubernetes.rayjobs, "retrain", job=JOB, uid=UID, night="2026-11-28", every_s=0)


def test_a_night_is_made_of_the_suspended_one_and_waited_for(kubernetes):
    ends = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
    night(kubernetes, {}, {"jobDeploymentStatus": "Initializing"}, 503, 429, RUNNING, ends)
    made = kubernetes.made[NAME]
    entrypoint = f"{TEMPLATE['spec']['entrypoint']} --night 2026-11-28"
    assert made["spec"] == TEMPLATE["spec"] | {"suspend": False, "entrypoint": entrypoint}
    (owner,) = made["metadata"].pop("ownerReferences")
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", JOB, UID)
    assert typos(made) == faults(made) == []
    assert kubernetes.answers == []


def of_job(uid):
    """A night's RayJob that a pod before this one made, before noon."""
    return tonight(TEMPLATE, job=JOB, uid=uid, night="2026-11-27")


def test_a_pod_that_is_started_again_finds_its_night(kubernetes):
    kubernetes.made[NAME] = of_job(UID)
    night(kubernetes, {}, RUNNING, {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"})
    assert kubernetes.made == {NAME: of_job(UID)}, "it is the night that it was"


@pytest.mark.parametrize("there", [of_job("another"), {"metadata": {"name": NAME}}])
def test_a_rayjob_of_somebody_else_is_not_taken_for_the_night(kubernetes, there):
    kubernetes.made[NAME] = there
    with pytest.raises(NightError, match="is there already, and of another Job"):
        night(kubernetes, {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"})


@pytest.mark.parametrize(
    ("text", "said"), [(None, "cannot read the spec"), ("registry: 3\n", "is not a nightly job"), ("", "holds no keys")]
)
def test_for_a_wrong_spec_no_cluster_is_made(kubernetes, monkeypatch, capsys, tmp_path, text, said):
    monkeypatch.setenv("JOB_NAME", JOB)
    monkeypatch.setenv("JOB_UID", UID)
    path = tmp_path / "nightly.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["--spec", str(path), "retrain"], kubernetes.rayjobs) == WRONG
    assert said in capsys.readouterr().err
    assert kubernetes.made == {}


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "message": "exit code 1"}, "FAILED: exit code 1"),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, "STOPPED"),
        ({"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded"}, "never started: DeadlineExceeded"),
        (404, "deleted"),
        (403, "Role encdec-batch-night"),
    ],
)
def test_a_night_that_does_not_end_well_is_no_success(kubernetes, last, said):
    with pytest.raises(NightError, match=said):
        night(kubernetes, RUNNING, last)


def test_kubernetes_that_does_not_answer_is_asked_for_a_while(kubernetes):
    with pytest.raises(requests.HTTPError):
        night(kubernetes, *[500] * 40)
    assert kubernetes.answers == []


@pytest.mark.parametrize(
    ("answer", "code"),
    [({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, 0), (404, FAILED), ("unreachable", NO_ANSWER)],
)
def test_the_command_ends_as_the_night_does(kubernetes, monkeypatch, capsys, answer, code):
    monkeypatch.setenv("JOB_NAME", JOB)
    monkeypatch.setenv("JOB_UID", UID)
    kubernetes.answers = [answer]
    rayjobs = kubernetes.rayjobs
    if answer == "unreachable":
        rayjobs = RayJobs(server="http://127.0.0.1:1", account=rayjobs.account)
    assert main(["--spec", str(ROOT / "jobs/nightly.yaml"), "retrain"], rayjobs) == code
    assert ("error: " in capsys.readouterr().err) == (code != 0)


def test_the_command_says_what_it_lacks(monkeypatch, capsys):
    monkeypatch.delenv("JOB_NAME", raising=False)
    with pytest.raises(SystemExit):
        main(["retrain"])
    assert "JOB_NAME" in capsys.readouterr().err


def test_exit_codes_are_those_that_the_cron_job_knows():
    (fails, _) = one("CronJob", "retrain")["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    assert {FAILED, WRONG} <= set(fails["onExitCodes"]["values"])
    assert NO_ANSWER not in fails["onExitCodes"]["values"], "a new pod goes on"


def test_the_rayjob_has_a_name_of_its_own():
    """KubeRay submits by a Job named as its RayJob: where the waiting Job had that name, none would be submitted."""
    assert tonight(TEMPLATE, job=JOB, uid=UID, night="2026-11-28")["metadata"]["name"] not in {JOB, "retrain"}
    with pytest.raises(NightError, match="at most 41"):
        tonight(TEMPLATE, job="x" * 42, uid=UID, night="2026-11-28")
