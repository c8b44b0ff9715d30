"""The command line: its flags, its exit codes, and where it talks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from e2e.made import classes_package, command, paragraphs, run, write_spec, write_tiff
from rasters import coordinate_image

from encdec_batch import __version__
from encdec_batch.cli import main
from encdec_batch.report.page import format_bytes, format_number

FLAGS = {
    "plan": {"spec_file", "--set", "--json", "-v/--verbose"},
    "run": {"spec_file", "--set", "--json", "-v/--verbose", "--prune", "--expect"},
    "status": {"uri", "--storage", "--address", "--json"},
    "verify": {"uri", "--storage", "--json", "--digest", "--deep", "--repair"},
    "retry": {"uri", "--storage", "--json", "--stage", "--reason", "--dry-run"},
    "report": {"uri", "--storage", "--json", "--rebuild"},
    "prune": {"uri", "--storage", "--json", "--keep-hours", "--removed", "--dry-run"},
    "train": {"spec_file", "--set", "--json", "-v/--verbose"},
    "evaluate": {"spec_file", "--set", "--json", "-v/--verbose", "--package"},
    "submit": {"spec_file", "--address", "--wheel", "--id", "--follow", "--dry-run", "-v/--verbose"},
    "logs": {"submission_id", "--address", "--follow"},
    "cancel": {"submission_id", "--address"},
    "nightly": {"spec_file", "--night", "--set", "--json", "-v/--verbose"},
    "models": set(),  # commands of its own: test_cli_models.py
}
"""Frozen: settings go into the spec."""


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """The folder of a job that is complete, with one scene set aside."""
    folder = tmp_path_factory.mktemp("job")
    write_tiff(folder / "in/a.tif", coordinate_image(1, 300, 300))
    (folder / "in/b.tif").write_bytes(b"no image")
    write_spec(folder, folder / "in", classes_package())
    assert run(folder / "job.yaml").code == 3
    return folder


def flags_of(name: str) -> set[str]:
    return {
        "/".join(parameter.opts) if isinstance(parameter, click.Option) else parameter.name
        for parameter in main.commands[name].params
    }


def test_the_flags_are_these():
    assert {name: flags_of(name) for name in main.commands} == FLAGS


def test_no_command_has_more_than_five_flags_beside_that_it_says_more():
    apart = {"uri", "spec_file", "submission_id", "-v/--verbose"}
    assert all(len(flags - apart) <= 5 for flags in FLAGS.values())


def test_every_command_and_flag_says_what_it_is_for():
    for word in ("-h", "--help"):
        shown = command(word)
        assert shown.code == 0
        assert all(name in shown.stdout for name in FLAGS)
        assert "Exit codes: 0 complete" in shown.stdout
    for name, found in main.commands.items():
        assert command(name, "--help").code == 0
        assert found.help
        assert all(parameter.help for parameter in found.params if isinstance(parameter, click.Option))


def test_the_version():
    assert command("--version").stdout == f"encdec-batch, version {__version__}\n"


@pytest.mark.parametrize(
    ("name", "arguments", "keys"),
    [
        (
            "plan",
            ("job.yaml",),
            {"scenes", "blocks", "block_sides", "pixels", "tiles", "tile_pixels", "halo", "halo_tax", "exact"}
            | {"bytes_to_read", "projected_bytes", "helpers", "set_aside", "notes"},
        ),
        ("run", ("job.yaml",), {"scenes_done", "set_aside", "digest", "exit_code", "report_uri"}),
        ("status", ("out",), {"scenes_with_outputs", "scenes_set_aside", "state", "progress"}),
        ("verify", ("out",), {"digest", "files", "bad"}),
        ("report", ("out",), {"report"}),
    ],
)
def test_every_result_is_one_json_object_where_that_is_asked_for(done, name, arguments, keys):
    ended = command(name, *(done / argument for argument in arguments), "--json")
    assert keys <= set(json.loads(ended.stdout))
    assert ended.stdout.count("\n") == 1
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("name", "argument"), [("plan", "job.yaml"), ("run", "job.yaml"), ("status", "out"), ("verify", "out")]
)
def test_and_text_where_it_is_not(done, name, argument):
    ended = command(name, done / argument)
    assert ended.code == (3 if argument == "job.yaml" else 0)
    assert paragraphs(ended.stdout)
    with pytest.raises(ValueError, match=r"Expecting value|Extra data"):
        json.loads(ended.stdout)
    if argument == "job.yaml":
        assert "set aside  b  plan:" in ended.stdout


def test_what_plan_prints_is_what_it_says_in_json(done):
    spec, again = done / "job.yaml", ("--set", f"output.uri={done}/elsewhere")
    figures, text = command("plan", spec, "--json", *again).result, command("plan", spec, *again).stdout
    assert f"{format_number(figures['pixels'] / 1e6)} Mpx to compute" in text
    assert f"in {figures['tiles']:,} tiles" in text
    assert f"{figures['halo_tax']:.2f} pixels computed" in text
    assert f"halo {figures['halo']} px: exact" in text


def test_plan_says_what_is_read_beside_the_headers(tmp_path):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 100, 100))
    spec = write_spec(tmp_path, tmp_path / "in", classes_package())
    figures, text = command("plan", spec, "--json").result, tidy(command("plan", spec).stdout)
    along = format_bytes(figures["bytes_in_scenes"])
    assert (figures["bytes_to_read"], f"to read  the headers alone, which bring the {along} of pixels" in text) == (
        0,
        True,
    )
    noise = np.random.default_rng(0).integers(0, 255, (1, 600, 600), np.uint8)
    write_tiff(tmp_path / "in/b.tif", noise)
    figures, text = command("plan", spec, "--json").result, tidy(command("plan", spec).stdout)
    said = [format_bytes(figures[name]) for name in ("bytes_to_read", "bytes_in_scenes")]
    assert "to read  {} beside the headers, for {} of pixels".format(*said) in text
    assert figures["bytes_to_read"]


def tidy(text: str) -> str:
    """With columns of a table two blanks apart."""
    return re.sub(" {2,}", "  ", text)


def test_paths_of_an_override_count_from_the_current_folder(tmp_path, monkeypatch):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 100, 100))
    spec = write_spec(tmp_path / "specs", tmp_path / "in", classes_package())
    monkeypatch.chdir(tmp_path)
    assert command("run", spec, "--set", "output.uri=here").code == 0
    assert (tmp_path / "here" / "markers").exists()


@pytest.mark.parametrize("fault", ["tiling.core=no", "output.uri=in/out"])
def test_verbose_shows_the_traceback_and_keeps_the_code(tmp_path, monkeypatch, fault):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 100, 100))
    spec = write_spec(tmp_path, tmp_path / "in", classes_package())
    monkeypatch.chdir(tmp_path)
    for verb in ("plan", "run"):
        quiet, loud = command(verb, spec, "--set", fault), command(verb, spec, "--set", fault, "-v")
        assert (quiet.code, loud.code) == (2, 2)
        assert "Traceback" not in quiet.stderr
        assert "Traceback" in loud.stderr


def test_an_error_that_nobody_foresaw_is_one_line(tmp_path, monkeypatch):
    def broken(*_):
        raise LookupError("no such thing")

    spec = write_spec(tmp_path, tmp_path, classes_package())
    monkeypatch.setattr("encdec_batch.job.plan.build_plan", broken)
    ended = command("plan", spec)
    assert ended.code == 1
    assert ended.stderr.startswith("error: plan failed: LookupError: no such thing")
    assert "Traceback" not in ended.stderr


def test_plan_writes_nothing(tmp_path):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 300, 300))
    spec = write_spec(tmp_path, tmp_path / "in", classes_package())
    ended = command("plan", spec, "--json")
    assert (ended.code, ended.result["blocks"], ended.result["pixels"]) == (0, 1, 90_000)
    assert not (tmp_path / "out").exists()


def test_exit_codes(tmp_path):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 300, 300))
    spec = write_spec(tmp_path, tmp_path / "in", classes_package())
    assert command("run", spec).code == 0
    assert command("run", spec).code == 0
    assert command("status", tmp_path / "nothing").code == 1
    assert command("run", tmp_path / "none.yaml").code == 2
    assert command("run", spec, "--set", "tiling.core=big").code == 2
    assert command("run", spec, "--wrong").code == 2
    assert command("run").code == 2
    assert command("walk").code == 2
    (tmp_path / "in/b.tif").write_bytes(b"no image")
    assert command("run", spec).code == 3
    assert command("plan", spec).code == 3
    (tmp_path / "in/b.tif").unlink()
    assert command("run", spec).code == 0


def test_retry_takes_scenes_out_of_quarantine(tmp_path):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 300, 300))
    (tmp_path / "in/b.tif").write_bytes(b"no image")
    spec = write_spec(tmp_path, tmp_path / "in", classes_package())
    assert run(spec).code == 3
    assert command("status", tmp_path / "out", "--json").result["scenes_set_aside"] == 1
    assert command("retry", tmp_path / "out", "--json").result == {"taken_out": 1, "scenes": ["b"], "dry_run": False}
    assert command("retry", tmp_path / "out").stdout == "0 scenes taken out of quarantine\n"
    assert command("status", tmp_path / "out", "--json").result["scenes_set_aside"] == 0


def test_prune_says_what_would_go_and_then_deletes_it(tmp_path):
    """A scene whose input changed: its first generation is superseded, and so is the plan of the first run."""
    for shape in ((300, 300), (300, 301)):
        write_tiff(tmp_path / "in/a.tif", coordinate_image(1, *shape))
        spec = write_spec(tmp_path, tmp_path / "in", classes_package())
        assert run(spec).code == 0
    out = tmp_path / "out"
    before = {path for path in out.rglob("*") if path.is_file()}
    [old] = (out / "scenes/a").glob("1-*")
    size = sum(path.stat().st_size for path in old.iterdir())

    # A reader of the marker before has a day, unless told otherwise; nobody reads plans.
    nothing = {"removed": [], "foreign": {"num_objects": 0, "first": []}}
    [plan] = (out / ".encdec/plans").glob("1-*")
    path, plan_size = f".encdec/plans/{plan.name}", plan.stat().st_size
    memory = {"path": path, "reason": "no longer needed", "objects": [path], "size_bytes": plan_size}
    assert command("prune", out, "--dry-run", "--json").result == {"folders": [memory], **nothing, "dry_run": True}
    assert command("prune", out).stdout.endswith("deleted\n")
    before.remove(plan)
    assert {path for path in out.rglob("*") if path.is_file()} >= before
    assert command("prune", out).stdout == "0 folders, 0 B deleted\n"
    said = command("prune", out, "--dry-run", "--keep-hours", "0", "--json").result
    folder = f"scenes/a/{old.name}/"
    expected = {"path": folder, "reason": "superseded", "objects": [f"{folder}mask.tif"], "size_bytes": size}
    assert said == {"folders": [expected], **nothing, "dry_run": True}
    shown = command("prune", out, "--dry-run", "--keep-hours", "0").stdout.splitlines()
    assert shown[0] == f"superseded  {folder}"
    assert shown[1].startswith("1 folder, ")
    assert shown[1].endswith(", would be deleted")
    assert {path for path in out.rglob("*") if path.is_file() and "lease" not in path.parts} == {
        path for path in before if "lease" not in path.parts
    }

    pruned = command("prune", out, "--keep-hours", "0", "--json")
    assert (pruned.code, pruned.result) == (0, {"folders": [expected], **nothing, "dry_run": False})
    assert not (old / "mask.tif").exists()
    assert command("verify", out, "--json").result["bad"] == []
    assert command("prune", out, "--keep-hours", "0").stdout == "0 folders, 0 B deleted\n"
    assert run(spec).result["blocks"] == 0


def test_verify_tells_a_damaged_file(tmp_path):
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 300, 300))
    spec = write_spec(tmp_path, tmp_path / "in", classes_package())
    digest = run(spec).result["digest"]
    expected = {"digest": digest, "files": 1, "bad": [], "why": {}, "catalogue": "", "volume_files": 0}
    assert command("verify", tmp_path / "out", "--json").result == expected
    (mask,) = (tmp_path / "out/scenes").rglob("mask.tif")
    data = bytearray(mask.read_bytes())
    data[-1] ^= 1
    mask.write_bytes(data)
    ended = command("verify", tmp_path / "out", "--json")
    path = str(mask.relative_to(tmp_path / "out"))
    assert (ended.code, ended.result["bad"]) == (1, [path])
    shown = command("verify", tmp_path / "out").stdout.splitlines()
    assert shown[0] == f"bad  {path}: its sha256 is not that of its marker"
    # Of the markers, which say what it was.
    assert command("verify", tmp_path / "out", "--digest").stdout == f"{digest}\n"
    assert command("verify", tmp_path / "out", "--digest", "--json").result == {"digest": digest}
    assert command("verify", tmp_path / "out", "--digest", "--deep").code == 2


def test_square_brackets_in_names_are_no_markup(tmp_path):
    folder = tmp_path / "a[b]c[/d]"
    write_tiff(folder / "in/a.tif", coordinate_image(1, 64, 64))
    (folder / "in/x[red].tif").write_bytes(b"a letter")
    spec = write_spec(folder, folder / "in", classes_package())
    ended = command("run", spec)
    assert ended.code == 3
    assert f"output  file://{folder}/out" in ended.stdout
    assert "set aside  x_red_-" in ended.stdout
    assert "not an image" in ended.stdout
    for name in ("plan", "status", "verify"):
        assert command(name, spec if name == "plan" else folder / "out").code == (3 if name == "plan" else 0)


@pytest.mark.parametrize("pair", ["endpoint_url", "=x"])
def test_a_wrong_storage_option(tmp_path, pair):
    ended = command("status", tmp_path, "--storage", pair)
    assert ended.code == 2
    assert len(paragraphs(ended.stderr)) == 1


def test_a_secret_on_the_command_line_is_refused_and_not_repeated(tmp_path):
    for name in ("status", "verify", "retry"):
        ended = command(name, tmp_path, "--storage", "secret=hunter2hunter2")
        assert ended.code == 2
        assert "hunter2" not in ended.stderr + ended.stdout
        assert "env:NAME" in ended.stderr


@pytest.mark.integration
def test_as_a_user_starts_it(tmp_path):
    """In a process of its own: the entry point, the exit code, both streams."""
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 300, 300))
    (tmp_path / "in/b.tif").write_bytes(b"no image")
    spec = write_spec(tmp_path, tmp_path / "in", classes_package())
    program = Path(sys.executable).with_name("encdec-batch")
    ended = subprocess.run([program, "run", spec, "--json"], capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert json.loads(ended.stdout)["scenes_done"] == 1
    assert "Traceback" not in ended.stderr
    broken = yaml.safe_load(spec.read_text()) | {"modle": 1}
    spec.write_text(yaml.safe_dump(broken))
    ended = subprocess.run([program, "run", spec], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ")
    assert "modle: unknown key, did you mean model?" in ended.stderr
