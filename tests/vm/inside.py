# SPDX-License-Identifier: Apache-2.0
"""The part of run.py that runs in the guest: inside.py REPORTS HOOKS UNIT EXPRESSION [FILE]... asks weft whether it
can use the hooks (a set, or several), and runs the tests if so; those that fail run a second time. UNIT is "unit" to run
the unit tests as well."""
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEFT = pathlib.Path(os.environ["WEFT_BUILD"]) / "agent/weft"


def refusal(hooks):
    """(kernel, why): why both doctor and run say that these hooks cannot be used; empty if they can."""
    done = subprocess.run([WEFT, "doctor", "--json", "--hooks", hooks], capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, flush=True)
    found = json.loads(done.stdout)
    if found["verdict"] != "cannot":
        return found["kernel"], ""
    assert done.returncode == 4, done.returncode
    run = subprocess.run([WEFT, "run", "--hooks", hooks, "--exporters", "none"], capture_output=True, text=True,
                         check=False, timeout=120)
    print(run.stderr, flush=True)
    why = found["hooks_reason"]
    assert run.returncode == 1 and f'why="{why}"' in run.stderr, "run does not say what doctor says"
    return found["kernel"], why


def tests(reports, number, *more):
    argv = [sys.executable, "-m", "pytest", "-v", "--tb=short", f"--rootdir={ROOT}", f"--junitxml={reports}/{number}.xml",
            "-o", "cache_dir=/tmp/pytest-cache", "--durations=20", *more]
    return subprocess.run(argv, cwd=ROOT / "tests/e2e", check=False).returncode


def unit_tests():
    """{program: why it failed, or nothing}"""
    found = {}
    for program in sorted(WEFT.parents[1].glob("tests/unit/unit_*")):
        if not program.is_file():  # its objects
            continue
        done = subprocess.run([program, "--jobs", "2"], capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr, flush=True)
        found[f"unit.{program.name.removeprefix('unit_')}"] = (
            f"exit status {done.returncode}: {done.stderr.strip()[-300:]}" if done.returncode else "")
    assert found, "no unit tests are built"
    return found


def main():
    reports, hooks, unit, expression, *files = sys.argv[1:]
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    answers = [refusal(one.partition("-")[0]) for one in hooks.split(",")]
    kernel, why = answers[0][0], "; ".join(why for _, why in answers if why)
    units = unit_tests() if unit else {}
    pathlib.Path(reports, "doctor.json").write_text(json.dumps({"kernel": kernel, "refused": why, "unit": units}))
    if why:
        return 0
    chosen = ["-k", expression] if expression else []
    status = tests(reports, "first", *chosen, *files)
    failed = len(re.findall(r"<(?:failure|error) ", pathlib.Path(reports, "first.xml").read_text()))
    if status == 1 and failed <= 40:
        status = tests(reports, "second", "--last-failed", *files)
    return status


sys.exit(main())
