"""Every command that README, manifests, units and scripts show: the program takes it, today."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
from functools import cache

import click
import pytest
import yaml
from cluster.commands import commands, parse
from cluster.manifests import CLUSTER, ROOT, all_documents, one, pods

from encdec_batch.cli import main

README = (CLUSTER / "README.md").read_text()
SHOWN = [
    words for block in re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL) for words in commands(block)
]
SHOWN += [words for text in re.findall(r"`((?:encdec-batch|aws) [^`]+)`", README) for words in commands(text)]
PROGRAMS = {
    *("encdec-batch", "ray", "kubectl", "helm", "docker", "aws"),
    *("pip", "python", "install", "useradd", "base64", "systemctl", "systemd-analyze", "journalctl"),
}
HERE = "/opt/encdec-batch/"


def others() -> list[list[str]]:
    """Commands of everything but the README."""
    texts = [doc["spec"]["entrypoint"] for _, doc in all_documents() if doc["kind"] == "RayJob"]
    for _, doc in all_documents():
        for _, template in pods(doc):
            for container in template["spec"]["containers"]:
                hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
                texts += [shlex.join(words) for words in (container.get("command", []), hook)]
    launcher = yaml.safe_load((CLUSTER / "aws/cluster.yaml").read_text())
    texts += [*launcher["head_start_ray_commands"], *launcher["worker_start_ray_commands"]]
    texts += re.findall(
        r"^ExecStart=(.*)$", (CLUSTER / "machine/encdec-batch-nightly.service").read_text(), re.MULTILINE
    )
    texts += re.findall(r"^(?:\S+ ){5}encdec-batch (.*)$", (CLUSTER / "machine/crontab").read_text(), re.MULTILINE)
    scripts = [path.read_text() for path in (CLUSTER / "bin").iterdir() if path.is_file() and not path.suffix]
    return [words for text in [*texts, *scripts] for words in commands(text)]


def of(program: str) -> list:
    """Command lines of a program."""
    found = {shlex.join(words[1:]): words[1:] for words in [*SHOWN, *others()] if words[0] == program}
    return [pytest.param(words, id=line) for line, words in found.items()]


@pytest.mark.parametrize("words", of("encdec-batch"))
def test_our_command_takes_it(words):
    parse(main, words)
    for path in (word for word in words if word.endswith(".yaml")):
        assert (ROOT / path).is_file()


def test_ray_takes_it():
    from ray.scripts.scripts import cli

    lines = [param.values[0] for param in of("ray")]
    assert {words[0] for words in lines} >= {"up", "down", "start", "stop", "drain-node", "job", "exec", "dashboard"}
    for words in lines:
        parse(cli, words)
        for path in (word for word in words if word.startswith("cluster/")):
            assert (ROOT / path).exists()
    options = {name for param in cli.commands["start"].params for name in param.opts}
    spec = one("RayCluster", "encdec")["spec"]
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        assert {f"--{name}" for name in group["rayStartParams"]} <= options
    for wrong in (["start", "--dashbord-host=x"], ["job", "sumbit"], ["drain-node", "--reason", "SPOT"]):
        with pytest.raises(click.UsageError):
            parse(cli, wrong)


@pytest.mark.parametrize(
    "wrong", ["run job.yaml --sett a=b", "rum job.yaml", "run", "models rolback x", "models add a b --specs c"]
)
def test_a_renamed_option_or_command_is_found(wrong):
    with pytest.raises(click.UsageError):
        parse(main, wrong.split())


@cache
def helps(words: tuple[str, ...]) -> str:
    return subprocess.run([*words, "--help"], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("program", ["kubectl", "docker", "helm"])
def test_the_tools_know_their_options(program):
    """By what they say of themselves; nothing is asked of a cluster or a daemon."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    general = subprocess.run([program, "options"], capture_output=True, text=True, check=False).stdout
    for words in (words for words in SHOWN if words[0] == program):
        place = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
        said = general + helps(tuple(words[: min(place, 4 if "secret" in words else 3)]))
        for option in (word.split("=")[0] for word in words if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", said), f"{shlex.join(words)}: {option}"


def test_every_program_is_known_and_every_file_is_there():
    assert {words[0] for words in SHOWN} == PROGRAMS
    for words in [*SHOWN, *others()]:
        paths = [word.rpartition("=")[2] for word in words if re.match(r"(\S+=)?cluster/", word)]
        paths += [word.removeprefix(HERE) for word in words if word.startswith(f"{HERE}cluster/")]
        assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_drivers_are_there():
    drivers = {
        word.removeprefix(HERE) for words in [*SHOWN, *others()] for word in words if word.startswith(f"{HERE}jobs/")
    }
    assert drivers == {"jobs/infer_archive.py", "jobs/train_network.py"}
    assert [driver for driver in drivers if not (ROOT / driver).is_file()] == []


def test_what_a_night_runs_takes_it():
    (words,) = [words for words in others() if "jobs/nightly_retrain.py" in words]
    script = words[words.index("jobs/nightly_retrain.py") :]
    assert (ROOT / script[0]).is_file()
    taken = runpy.run_path(str(ROOT / script[0]))["arguments"]
    for more in ([], ["--shadow"], ["--night", "2026-11-28"]):
        parse(main, taken([*script[1:], *more]))
    with pytest.raises(SystemExit):
        taken(["--spek", "nightly.yaml"])


def test_the_readme_says_of_nothing_that_it_is_not_there_yet():
    assert "not in this repository yet" not in README


def test_the_readme_leads_somewhere_and_leaves_nothing_out():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert [link for link in links if not (CLUSTER / link).exists()] == []
    anchors = {
        re.sub(r"[^\w -]", "", head).replace(" ", "-").lower()
        for head in re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors
    for folder in ("bin", "machine", "specs"):
        for path in (CLUSTER / folder).iterdir():
            assert path.name in README or "__pycache__" in path.name, path
