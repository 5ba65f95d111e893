# SPDX-License-Identifier: Apache-2.0
"""The commands of the real binary: what a person types, what it says, how it exits."""
import json
import os
import subprocess

import pytest

from weftlib import paths

COMMANDS = ["run", "doctor", "check-config", "version"]
KEEP = {k: v for k, v in os.environ.items()
        if not k.startswith(("WEFT_", "OTEL_")) and k != "NO_COLOR"}


@pytest.fixture(autouse=True)
def built():
    if not paths.WEFT.exists():
        pytest.skip(f"the agent is not built: {paths.WEFT}")


def weft(*args, **env):
    return subprocess.run([paths.WEFT, *args], env=KEEP | env, capture_output=True, text=True,
                          timeout=60, check=False)


def config(tmp_path, text):
    path = tmp_path / "weft.yaml"
    path.write_text(text)
    return str(path)


def test_version():
    for args in (["version"], ["--version"]):
        done = weft(*args)
        assert done.returncode == 0
        assert done.stdout.startswith("weft 0.")
        assert done.stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(command, flag):
    done = weft(command, flag)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: weft {command}")
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert len(done.stdout.splitlines()) <= 60, "short enough for one screen"


def test_help_all_names_every_option():
    text = weft("run", "--help-all").stdout
    reference = weft("check-config", "--reference").stdout
    flags = [line.split("|")[2].strip(" `") for line in reference.splitlines()[2:]]
    assert len(flags) > 30
    for flag in flags:
        assert f"  {flag}" in text
    assert "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT" in text


def test_help_exits_are_documented():
    for command in ("run", "doctor", "check-config"):
        assert "exit: 0" in weft(command, "--help").stdout


@pytest.mark.parametrize("args, said", [
    ([], "usage: weft COMMAND"),
    (["frobnicate"], "weft: frobnicate: unknown command"),
    (["version", "now"], "weft: now: unknown flag of version (weft version --help)"),
    (["run", "--json"], "weft: --json: unknown flag of run (weft run --help)"),
    (["run", "--hoks", "sock"], "weft: --hoks: unknown flag (did you mean --hooks?)"),
    (["run", "--hooks", "sok"], 'weft: --hooks: "sok" is not one of auto, fentry, sock, syscalls'),
    (["doctor", "--hooks"], "weft: --hooks: needs a value"),
    (["check-config", "nginx"], 'weft: unexpected argument "nginx"'),
])
def test_bad_usage(args, said):
    done = weft(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr


def test_config_errors_name_their_place(tmp_path):
    path = config(tmp_path, "capture:\n  hooks: sok\n  ring_bytes: 5MiB\nlgo:\n  level: info\n")
    for command in ("check-config", "run", "doctor"):
        done = weft(command, "--config", path, WEFT_DRAIN="soon")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.splitlines() == [
            f'weft: {path}:2: capture.hooks: "sok" is not one of auto, fentry, sock, syscalls',
            f'weft: {path}:3: capture.ring_bytes: "5MiB" is not a power of two: '
            'use 4MiB or 8MiB',
            f'weft: {path}:4: lgo: unknown key (did you mean log?)',
            'weft: WEFT_DRAIN: "soon" is not a time from 0ms to 600s, such as 250ms or 5s',
        ]


def test_check_config_shows_each_origin(tmp_path):
    path = config(tmp_path, "capture:\n  hooks: syscalls\ndrain: 1500ms\n")
    done = weft("check-config", "-c", path, "--max-held=128",
                OTEL_EXPORTER_OTLP_HEADERS="api-key=hunter2",
                OTEL_EXPORTER_OTLP_ENDPOINT="https://me:hunter2@otel.example")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("ok\n")
    assert "hunter2" not in done.stdout
    shown = {line.split(":")[0].strip(): line for line in done.stdout.splitlines()}
    assert shown["hooks"].split() == ["hooks:", "syscalls", "#", "line", "2"]
    assert shown["drain"].split() == ["drain:", "1500ms", "#", "line", "3"]
    assert shown["max_held"].split() == ["max_held:", "128", "#", "--max-held"]
    assert shown["headers"].endswith("# OTEL_EXPORTER_OTLP_HEADERS")
    assert shown["exporters"].split() == ["exporters:", "[otlp]", "#", "default"]
    assert "# traces go to https://****@otel.example/v1/traces\n" in done.stdout


def test_check_config_can_be_read_back(tmp_path):
    first = weft("check-config", "--include", "exe=*/a b", "--include", "port=80",
                 "--exclude", "cgroup=/x", "--request-headers", "X-A,x-b", "--log-level", "debug")
    assert first.returncode == 0
    path = config(tmp_path, first.stdout.removeprefix("ok\n"))
    second = weft("check-config", "--config", path)
    assert second.returncode == 0, second.stderr

    def values(text):
        return [line.split(" # ")[0].rstrip() for line in text.splitlines()
                if not line.startswith("#")]
    assert values(second.stdout) == values(first.stdout)


def test_reference_is_a_table():
    lines = weft("check-config", "--reference").stdout.splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) > 35


def check_doctor(done):
    report = json.loads(done.stdout)
    assert done.returncode == report["exit"]
    assert done.returncode == {"good": 0, "limited": 3, "cannot": 4}[report["verdict"]]
    for check in report["checks"]:
        assert check["state"] in ("ok", "note", "limit", "missing")
        assert check["state"] == "ok" or (check["means"] and check["to_do"]), check
    return report


def test_doctor_as_we_are():
    report = check_doctor(weft("doctor", "--json"))
    text = weft("doctor")
    assert text.returncode == report["exit"]
    assert text.stderr == ""
    assert text.stdout.count("to do:") == sum(c["state"] != "ok" for c in report["checks"])
    if report["verdict"] != "cannot":
        assert f'hooks    {report["hooks"]} (' in text.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become someone else")
def test_doctor_without_privileges(tmp_path):
    binary = tmp_path / "weft"
    binary.write_bytes(paths.WEFT.read_bytes())
    binary.chmod(0o755)
    tmp_path.chmod(0o755)
    done = subprocess.run([binary, "doctor", "--json"], env=KEEP, capture_output=True, text=True,
                          timeout=60, user=65534, group=65534, extra_groups=[], check=False)
    report = check_doctor(done)
    assert report["verdict"] == "cannot"
    assert report["uid"] == 65534
    assert report["next"] == "sudo weft doctor"
    bpf = next(c for c in report["checks"] if c["name"] == "bpf")
    assert "CAP_BPF" in bpf["to_do"]
    done = subprocess.run([binary, "doctor"], env=KEEP, capture_output=True, text=True, timeout=60,
                          user=65534, group=65534, extra_groups=[], check=False)
    assert done.returncode == 4
    assert "verdict  cannot trace here" in done.stdout
