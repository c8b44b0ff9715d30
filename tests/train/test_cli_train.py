"""`train` and `evaluate` as a user types them, on small files of a disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from click.testing import CliRunner
from e2e.made import command
from servers import s3_server_process
from train.squares import picture
from train.trainings import CLASSES

from encdec_batch.cli import main

pytestmark = pytest.mark.integration


MOMENTS = ((120, 30), (90, 55))


def write_pairs(folder, count=6, side=64):
    for number in range(count):
        bright, image = picture(np.random.default_rng(number), side)
        pixels = np.clip(np.rint(image * 50 + 100), 0, 255).astype(np.uint8)
        for name, array in (("images", pixels), ("targets", (7 * bright[None]).astype(np.uint8))):
            path = folder / name / f"scene{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = {"count": len(array), "height": side, "width": side, "dtype": "uint8"}
            with rasterio.open(path, "w", driver="GTiff", **shape) as file:
                file.write(array)


def write_spec(folder, **learn):
    values = {
        "data": {
            "train": {"kind": "folders", "images": "images", "targets": "targets"},
            "split": {"kind": "hash", "share": 0.4},
            "target": {"kind": "mask", "classes": CLASSES},
            "sampling": {"crop": 32, "samples": 24},
        },
        "network": {"architecture": "unet", "arguments": {"width": 4, "depth": 1}},
        "learn": {
            "losses": [{"kind": "cross_entropy", "balance": "sqrt_median"}, {"kind": "dice"}],
            "steps": 40,
            "batch": 8,
            "optimizer": {"kind": "adamw", "learning_rate": 0.01},
            **learn,
        },
        "card": {"name": "squares", "task": "semantic-segmentation", "data": "squares", "licence": "CC0"},
        "output": {"uri": "training", "package": "package", "checkpoint_every": 5, "log_every": 5},
        "compute": {"stream": {"kind": "local"}, "precision": "float32"},
    }
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def spec(tmp_path):
    write_pairs(tmp_path)
    return write_spec(tmp_path)


def test_from_files_to_a_package_and_its_scores(tmp_path, spec):
    ended = command("train", spec, "--json")
    assert ended.code == 0, ended.stderr
    assert ended.stdout.count("\n") == 1
    assert "training  40/40 steps  loss " in ended.stderr
    scores = ended.result["scores"]
    assert scores["mean_iou"] > 0.6
    judged = command("evaluate", spec, "--json")
    assert judged.code == 0
    assert judged.result["overall"] == scores
    assert judged.result["digest"] == ended.result["digest"]
    text = command("evaluate", spec).stdout
    assert f"{scores['iou/bright']:.4f}" in text
    again = command("train", spec)
    assert again.code == 0
    assert "finished before; nothing was to do" in again.stdout
    card = json.loads((tmp_path / "package/card.json").read_text())
    assert card["metrics"]["val"] == scores
    assert "40 steps of 8 windows of 32x32 px" in card["training"]["procedure"]
    assert "to train" in card["training"]["split"]


def test_the_package_runs_in_a_job(tmp_path, spec):
    assert command("train", spec).code == 0
    job = {
        "source": {"kind": "prefix", "uri": "images"},
        "model": {"package": "package"},
        "output": {"uri": "out", "files": [{"kind": "cog"}]},
        "tiling": {"core": 64},
        "compute": {"stream": {"kind": "local"}},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    assert command("run", tmp_path / "job.yaml").code == 0
    [mask] = (tmp_path / "out/scenes/scene0").glob("*/mask.tif")
    with rasterio.open(mask) as made, rasterio.open(tmp_path / "targets/scene0.tif") as true:
        assert np.mean(made.read(1) == true.read(1)) > 0.8


def test_killed_by_the_system_the_same_command_goes_on_to_the_same_package(tmp_path):
    """`kill -9` by the training itself, in the batch after its second checkpoint."""
    write_pairs(tmp_path)
    spec = write_spec(tmp_path)
    assert (
        command("train", spec, "--set", f"output.uri={tmp_path}/a", "--set", f"output.package={tmp_path}/pa").code == 0
    )
    program = (
        "import os, signal\n"
        "from encdec_batch.train.samples import sample\n"
        "real, made = sample.Samples.batch, []\n"
        "def batch(self, *arguments):\n"
        "    made.append(1)\n"
        "    if len(made) == 16: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(self, *arguments)\n"
        "sample.Samples.batch = batch\n"
        "from encdec_batch.cli import main\n"
        f"main(['train', {str(spec)!r}])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run([sys.executable, "-c", program], env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    newest = json.loads((tmp_path / "training/newest.json").read_text())
    assert newest["checkpoints"][-1]["step"] in (5, 10)
    assert command("train", spec).code == 0
    assert (tmp_path / "package/weights.safetensors").read_bytes() == (tmp_path / "pa/weights.safetensors").read_bytes()


def test_on_ray_the_same_command_gives_the_same_package(tmp_path, spec):
    """One worker, and a process beside it that makes the samples."""
    assert command("train", spec).code == 0
    ray = "{kind: ray, cpus_per_worker: 0.5}"
    more = ("--set", f"output.uri={tmp_path}/b", "--set", f"output.package={tmp_path}/pb")
    ended = command("train", spec, "--json", "--set", f"compute.stream={ray}", *more)
    assert ended.code == 0, ended.stderr
    assert (tmp_path / "package/weights.safetensors").read_bytes() == (tmp_path / "pb/weights.safetensors").read_bytes()


def test_more_workers_than_the_machine_has_room_for(spec):
    ended = command("train", spec, "--set", "compute.stream={kind: ray, workers: 4, cpus_per_worker: 1000}")
    assert ended.code == 2
    assert "workers and those that make their samples want 4002 CPUs" in ended.stderr


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ("learn.losses=[{kind: l1}]", 2, "learn.losses: l1 is not for a target of kind mask"),
        ("learn.step=3", 2, "learn.step: unknown key, did you mean steps?"),
        ("network.architecture=unett", 1, "architecture 'unett' is not known"),
        ("network.arguments={width: 4, depth: 1, out_channels: 5}", 2, "the target has 2 classes"),
        ("learn.batch=25", 2, "an epoch has 24 samples"),
        ("data.train.images=nowhere", 2, "nowhere"),
        ("compute.precision=float16", 1, "float16 is for CUDA"),
        ("compute.device=cuda", 2, "torch sees no CUDA device here"),
    ],
)
def test_what_is_wrong_is_one_paragraph(spec, change, code, said):
    ended = command("train", spec, "--set", change)
    assert (ended.code, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("error: ")


def test_another_package_than_the_specs_may_be_judged(tmp_path, spec):
    assert command("evaluate", spec).code == 1
    assert command("train", spec, "--set", f"output.package={tmp_path}/other").code == 0
    assert command("evaluate", spec, "--package", tmp_path / "other").code == 0
    ended = command("evaluate", spec, "--package", tmp_path / "other", "--set", "data.split={kind: none}")
    assert ended.code == 2
    assert "no scene to judge on" in ended.stderr


def test_a_package_is_judged_in_its_own_units(tmp_path):
    """A denoiser's figures are those of the image, whatever constants a spec normalises by."""
    write_pairs(tmp_path)
    spec = write_spec(tmp_path, losses=[{"kind": "mse"}], steps=10)
    changes = ["--set", "data.train={kind: images, uri: images}", "--set", "network.architecture=autoencoder"]
    changes += ["--set", "data.target={kind: clean, noise: {kind: gaussian, sigma: 25}}", "--set", "card.range=[-4, 4]"]
    one, other = (f"data.normalization={{kind: constants, mean: [{m}, {m}], std: [{s}, {s}]}}" for m, s in MOMENTS)
    trained = command("train", spec, *changes, "--set", one, "--json")
    assert trained.code == 0, trained.stderr
    judged = command("evaluate", spec, *changes, "--set", other, "--json")
    assert judged.result["overall"]["psnr"] == pytest.approx(trained.result["scores"]["psnr"], abs=1e-3)
    refused = command("evaluate", spec, "--set", "learn.losses=[{kind: dice}]")
    assert refused.code == 2
    assert "is no package of this task: its classes are others" in refused.stderr


def test_pairs_checkpoints_and_package_may_lie_on_s3(tmp_path, spec):
    """Under the keys of the bucket the same training gives the same weights as from a disk."""
    with s3_server_process() as server:
        bucket = server.make_bucket()
        for path in (*tmp_path.glob("images/*"), *tmp_path.glob("targets/*")):
            server.client().upload_file(str(path), bucket, f"pairs/{path.parent.name}/{path.name}")
        options = json.dumps(server.options)
        pairs = {"kind": "folders", "images": f"s3://{bucket}/pairs/images", "targets": f"s3://{bucket}/pairs/targets"}
        sets = [f"data.train={json.dumps(pairs | {'storage': server.options})}"]
        for key, place in (("uri", "training"), ("package", "packages/squares"), ("registry", "models")):
            name = "storage" if key == "uri" else f"{key}_storage"
            sets += [f"output.{key}=s3://{bucket}/{place}", f"output.{name}={options}"]
        words = [word for one in sets for word in ("--set", one)]
        there, here = command("train", spec, "--json", *words), command("train", spec, "--json")
        assert there.code == 0, there.stderr
        assert there.result["registered"].startswith(f"s3://{bucket}/models/squares@")
        client = server.client()
        weights = client.get_object(Bucket=bucket, Key="packages/squares/weights.safetensors")["Body"].read()
        assert weights == (tmp_path / "package/weights.safetensors").read_bytes()
        judged = command("evaluate", spec, "--json", *words)
        assert judged.result["overall"] == there.result["scores"] == here.result["scores"]
        again = command("train", spec, *words)
        assert "finished before" in again.stdout


def test_an_interrupted_evaluation_says_that_nothing_of_it_is_kept(spec, monkeypatch):
    def interrupted(*_given):
        raise KeyboardInterrupt

    monkeypatch.setattr("encdec_batch.models.package.load_package", interrupted)
    ended = CliRunner().invoke(main, ["evaluate", str(spec)])
    assert ended.exit_code == 1
    assert ended.stderr == "interrupted; nothing is kept of an evaluation: the same command begins again\n"


def test_a_network_of_physical_values_gives_physical_values(tmp_path):
    """Trained on files of one scale and offset, run on one of others."""

    def write(path, units, scale, offset):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.rint((units - offset) / scale).astype(np.int16)
        with rasterio.open(path, "w", driver="GTiff", count=1, height=64, width=64, dtype="int16") as file:
            file.write(pixels[None])
            file.scales, file.offsets = (scale,), (offset,)

    rng = np.random.default_rng(0)
    for number in range(6):
        clean = 400 * picture(rng, 64)[1][0]
        write(tmp_path / f"images/{number}.tif", clean + rng.normal(0, 30, clean.shape), 0.5, -1000)
        write(tmp_path / f"targets/{number}.tif", clean, 0.25, 100)
    values = yaml.safe_load(write_spec(tmp_path).read_text())
    values["data"] |= {
        "values": "physical",
        "target": {"kind": "image", "to": "input", "range": [-1000, 1000]},
        "normalization": {"kind": "estimate", "per_band": False},
    }
    values["network"] = {"architecture": "unet-denoiser", "arguments": {"width": 4, "depth": 1}}
    values["learn"] |= {"losses": [{"kind": "l1"}], "steps": 10}
    values["card"]["task"] = "denoising"
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(values))
    ended = command("train", tmp_path / "train.yaml")
    assert ended.code == 0, ended.stderr
    clean = 400 * picture(rng, 64)[1][0]
    noisy = clean + rng.normal(0, 30, clean.shape)
    write(tmp_path / "new/scene.tif", noisy, 2.0, 50)
    job = {
        "source": {"kind": "prefix", "uri": f"{tmp_path}/new"},
        "model": {"package": f"{tmp_path}/package"},
        "output": {"uri": f"{tmp_path}/out", "files": [{"kind": "cog"}]},
        "tiling": {"core": 64},
        "compute": {"stream": {"kind": "local"}},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    assert command("run", tmp_path / "job.yaml").code == 0
    [made] = (tmp_path / "out/scenes/scene").glob("*/image.tif")
    with rasterio.open(made) as file:
        # What is stored is some hundreds away, and normalised values too.
        assert np.abs(file.read(1) - clean).mean() < 2 * np.abs(noisy - clean).mean()
