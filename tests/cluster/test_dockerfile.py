"""The Dockerfile, without a daemon: instructions, stages, what is copied, versions, user; and what stays outside."""

from __future__ import annotations

import re
import subprocess
import tomllib
from fnmatch import fnmatch
from itertools import takewhile

import pytest
from cluster.manifests import CLUSTER, ROOT
from packaging.specifiers import SpecifierSet

TEXT = (CLUSTER / "Dockerfile").read_text()
IGNORED = (CLUSTER / "Dockerfile.dockerignore").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
KNOWN = {"ARG", "CMD", "COPY", "ENV", "FROM", "LABEL", "RUN", "USER", "WORKDIR"}

Stage = tuple[str, str, list[tuple[str, str]]]


def instructions(text: str) -> list[tuple[str, str]]:
    """Each instruction and what it says, lines joined.

    Raises:
        ValueError: no instruction of those that ours may have.
    """
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    found = [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]
    if unknown := {word for word, rest in found if word not in KNOWN or not rest}:
        raise ValueError(f"not instructions: {sorted(unknown)}")
    return found


def stages(text: str) -> dict[str, Stage]:
    """By name: what each is made from, and its instructions.

    Raises:
        ValueError: a stage without a name, or one that is used and not there.
    """
    args = dict(rest.split("=", 1) for word, rest in takewhile(lambda one: one[0] == "ARG", instructions(text)))
    made: dict[str, Stage] = {}
    name = ""
    for word, rest in instructions(text)[len(args) :]:
        if word == "FROM":
            parsed = re.fullmatch(r"(\S+) AS (\S+)", rest)
            if not parsed:
                raise ValueError(f"FROM {rest}")
            base = re.sub(r"\$\{(\w+)\}", lambda arg: args[arg[1]], parsed[1])
            if base not in made and ":" not in base:
                raise ValueError(f"FROM {base}: neither a stage nor an image with a tag")
            name = parsed[2]
            made[name] = (name, base, [])
        else:
            made[name][2].append((word, rest))
    return made


def copied(text: str) -> list[str]:
    """What comes out of the repository."""
    return [
        source
        for word, rest in instructions(text)
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]


def in_context(path: str) -> bool:
    """Whether the ignore file lets a path through: its last pattern that fits decides."""
    verdict = True
    for line in IGNORED.splitlines():
        pattern = line.lstrip("!")
        if (
            line
            and not line.startswith("#")
            and (path == pattern or path.startswith(f"{pattern}/") or fnmatch(path, pattern))
        ):
            verdict = line.startswith("!")
    return verdict


def test_there_are_two_images_and_they_differ_by_torch_alone():
    bases = [stages(TEXT.replace("ARG TORCH=cpu", f"ARG TORCH={torch}"))["image"][1] for torch in ("cpu", "cuda")]
    assert bases == ["torch-cpu", "torch-cuda"]
    with pytest.raises(ValueError, match="neither a stage nor an image"):
        stages(TEXT.replace("ARG TORCH=cpu", "ARG TORCH=rocm"))
    (install,) = [rest for word, rest in stages(TEXT)["torch-cuda"][2] if word == "RUN"]
    assert [
        rest.replace('--index-url "${TORCH_CPU_INDEX}" ', "")
        for word, rest in stages(TEXT)["torch-cpu"][2]
        if word == "RUN"
    ] == [install]


def test_an_image_runs_as_nobody_in_particular_with_tokens_on():
    said = stages(TEXT)["image"][2]
    assert [rest for word, rest in said if word == "USER"] == ["1000:1000"]
    environment = dict(pair.split("=", 1) for word, rest in said if word == "ENV" for pair in rest.split())
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_USAGE_STATS_ENABLED"] == "0"
    # The launcher reads it from the image, and would mount below /root.
    assert environment["HOME"] == "/home/encdec"


def test_what_is_copied_is_there_and_reaches_the_build():
    assert copied(TEXT)
    assert [path for path in copied(TEXT) if not (ROOT / path).exists() or not in_context(path)] == []
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    wanted = {path for path in tracked if any(path == part or path.startswith(f"{part}/") for part in copied(TEXT))}
    assert {path for path in tracked if in_context(path)} == wanted


def test_versions_are_those_of_the_project():
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and line[0] != "#"
    )
    python = re.search(r"PYTHON_IMAGE=python:([\d.]+)-", TEXT)
    assert python
    assert python[1] in SpecifierSet(PROJECT["requires-python"])
    tested = re.search(r"CPython ([\d.]+)", (ROOT / "constraints.txt").read_text())
    assert tested
    assert python[1] == tested[1]
    assert f'image.version="{PROJECT["version"]}"' in TEXT
    for word, rest in instructions(TEXT):
        if word == "RUN" and "pip install" in rest:
            assert "--constraint /opt/encdec-batch/constraints.txt" in rest
            assert "==" not in rest, "a version that constraints.txt does not know of"
    assert pinned.keys() >= {"torch", "ray", "boto3"}
    assert "[onnx]" in TEXT
    assert "onnx" in PROJECT["optional-dependencies"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("COPY jobs", "COYP jobs"),
        ("FROM base AS torch-cpu", "FROM bass AS torch-cpu"),
        ("FROM base AS torch-cpu", "FROM base"),
        ("${PYTHON_IMAGE} AS base", "python AS base"),
        ("USER 1000:1000", "USER"),
    ],
)
def test_a_typo_is_found(right, wrong):
    assert right in TEXT
    with pytest.raises(ValueError, match=r"FROM|not instructions"):
        stages(TEXT.replace(right, wrong))


def test_a_file_that_is_not_there_is_found():
    (wrong,) = {path for path in copied(TEXT.replace("COPY jobs ", "COPY jops ")) if not (ROOT / path).exists()}
    assert wrong == "jops"
