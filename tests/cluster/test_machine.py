"""Units and crontab of one machine."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess

import pytest
from cluster.manifests import CLUSTER, ROOT
from cluster.rules import cron_faults

MACHINE = CLUSTER / "machine"
SERVICE, TIMER = "encdec-batch-nightly.service", "encdec-batch-nightly.timer"
NIGHTLY = "/opt/encdec-batch/cluster/bin/nightly"


def unit(name: str) -> configparser.ConfigParser:
    """A unit; keys may stand more than once, the last is kept."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str
    parser.read_string((MACHINE / name).read_text())
    return parser


def verified(folder, replacements=()):
    """What systemd says of both units, with the checkout where it is here."""
    for name in (SERVICE, TIMER):
        text = (MACHINE / name).read_text().replace("/opt/encdec-batch", str(ROOT))
        for right, wrong in replacements:
            text = text.replace(right, wrong)
        (folder / name).write_text(text)
    paths = [str(folder / name) for name in (SERVICE, TIMER)]
    done = subprocess.run(
        ["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_them_and_finds_a_typo(tmp_path):
    assert verified(tmp_path) == ""
    assert verified(tmp_path, [("#ReadWritePaths=", "ReadWritePaths=")]) == ""
    assert "OOMPolicyy" in verified(tmp_path, [("OOMPolicy=", "OOMPolicyy=")])
    assert "Failed to parse calendar" in verified(tmp_path, [("01:30:00", "25:30:00")])
    assert "not executable" in verified(tmp_path, [("bin/nightly", "bin/nightlyy")])


def test_the_service_is_one_night_that_ends_and_goes_on():
    service = unit(SERVICE)["Service"]
    assert service["Type"] == "oneshot", "two nights never overlap"
    assert service["ExecStart"] == NIGHTLY
    assert service["ExecStartPost"] == f"/bin/rm -f /var/lib/{service['StateDirectory']}/night", (
        "as bin/nightly names it"
    )
    assert int(re.fullmatch(r"(\d+)h", service["TimeoutStartSec"])[1]) < 24
    assert (service["User"], service["NoNewPrivileges"], service["OOMPolicy"]) == ("encdec-batch", "yes", "continue")
    assert "Environment=RAY_AUTH_MODE=token\n" in (MACHINE / SERVICE).read_text()
    # Either takes devices away, and with them the GPU.
    assert not {"PrivateDevices", "ProtectClock", "DevicePolicy"} & set(service)
    timer = unit(TIMER)
    assert timer["Timer"]["Persistent"] == "yes"
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert (MACHINE / TIMER).stem == (MACHINE / SERVICE).stem, "a timer starts the service of its name"


def cron_lines(text: str) -> list[tuple[str, str, str]]:
    """Schedule, user and command of each line that is one; the others set a variable.

    Raises:
        ValueError: neither.
    """
    found = []
    for line in text.splitlines():
        if not line or line.startswith("#") or re.fullmatch(r"[A-Z_]+=\S.*", line):
            continue
        parsed = re.fullmatch(r"((?:\S+ ){5})([a-z-]+) (/?\S.*)", line)
        if not parsed or cron_faults(parsed[1]):
            raise ValueError(line)
        found.append((parsed[1].strip(), parsed[2], parsed[3]))
    return found


def test_the_crontab_runs_one_night_at_a_time():
    text = (MACHINE / "crontab").read_text()
    ((schedule, user, command),) = cron_lines(text)
    assert f"OnCalendar=*-*-* {schedule.split()[1]:0>2}:{schedule.split()[0]:0>2}:00" in (MACHINE / TIMER).read_text()
    assert user == "encdec-batch"
    assert command.startswith("flock --nonblock ")
    assert f" {NIGHTLY} " in command
    assert "RAY_AUTH_MODE=token\n" in text
    assert "%" not in command, "cron reads it as the end of a line"
    assert text.endswith("\n"), "cron leaves out a last line that does not end"


@pytest.mark.parametrize(
    ("right", "wrong"), [("30 1 * * *", "30 1 * *"), ("30 1 * * *", "30 24 * * *"), ("SHELL=", "SHELL ")]
)
def test_a_typo_in_the_crontab_is_found(right, wrong):
    with pytest.raises(ValueError, match=r"nightly|bash"):
        cron_lines((MACHINE / "crontab").read_text().replace(right, wrong))


def test_what_is_read_as_an_environment_is_one_and_holds_no_key():
    lines = [
        line.lstrip("#") for line in (MACHINE / "environment").read_text().splitlines() if re.match(r"#?[A-Z]", line)
    ]
    assert lines
    assert all(re.fullmatch(r"[A-Z_]+=\S*", line) for line in lines)
    assert not any(re.match(r"\w*(KEY|SECRET|TOKEN)=.", line) for line in lines)
