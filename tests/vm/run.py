# SPDX-License-Identifier: Apache-2.0
"""Runs the live tests under kernels of Debian's and AKS' (Ubuntu's for Azure), in QEMU, over each set of hooks, and
prints a table.

A set of hooks that a kernel has not must be refused, by `weft doctor` and by `weft run`, with the reason that
is known here; anything else that does not load is a failure. What fails gets one second run, by name.

For another architecture weft is cross-built, warnings as errors; the guest then runs on a Debian of that
architecture (root.sh), and the unit tests run in it as well if all live tests do.
"""
import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from weftlib import hooksets  # noqa: E402

KERNELS = ["5.10", "5.15-azure", "6.1", "6.8-azure", "6.12", "7.2"]  # azure: AKS' own
HOOKS = hooksets.CORE  # each set with one transport, for a record is the same whichever way it takes
NATIVE = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
FOREIGN = ["arm64"]  # those with a cross file here
# Where a set of hooks is known not to load, and why; nothing else may be missing.
ABSENT = {**{(kernel, "sock"): "sock_send_length: not in this kernel" for kernel in ("5.15-azure", "6.1")},
          **{("5.10", hooks): "bpf_task_pt_regs: not in this kernel" for hooks in hooksets.ALL}}
ABSENT_ON = {"arm64": {("6.1", "fentry"): "fexit of inet_recvmsg: not in this kernel"}}  # no BPF trampolines before 6.4
# What CI has the time for. Of 7.2 a flood: there threads preempt programs, and emulated some calls are missed when it is busy.
QUICK_KERNELS = {"5.10": ["syscalls"], "5.15-azure": ["fentry", "syscalls"], "6.8-azure": ["fentry"], "6.12": ["sock"],
                 "7.2": ["syscalls"]}
QUICK = "(test_capabilities and (paranoid-4 or without_one) and not perf) or test_ktls or test_compat or test_footprint or (test_exact and (write-read or sendmsg-recvmsg or writev-readv))"
QUICK_MORE = dict.fromkeys(("6.8-azure", "6.12"), " or (test_tls and test_app and (python or node)) or test_curl_and_nginx or test_apparmor")
QUICK_ONLY = {("5.15-azure", "syscalls"): "test_exact and write-read or test_syscalls_need_admin and paranoid-4",  # it loads slowly
              ("7.2", "syscalls"): "test_exact and write-read or test_flood_with_a_tiny_ring or test_footprint"}
# Of another architecture: one guest for all sets of hooks, each over both transports.
QUICK_FOREIGN_KERNELS = {"6.12": [",".join(hooksets.ALL)]}
QUICK_FOREIGN = "test_exact or test_compat or (test_app and python)"
QUICK_FOREIGN_TESTS = ["test_syscalls.py", "test_servers.py"]
SLOWER, CROWDED = 4, 6  # than without emulation; with more guests than CPUs
# What is the same with any set of hooks: once a kernel is enough.
WITHOUT_HOOKS = ["test_bench.py", "test_cli.py", "test_export.py", "test_fallback.py", "test_harness.py", "test_kube.py",
                 "test_live_otlp.py"]


class Cell:
    """A kernel with a set of hooks, or with several: all of them must load then."""

    def __init__(self, kernel, hooks):
        self.kernel, self.hooks = kernel, hooks
        self.passed, self.failed, self.skipped, self.again = [], {}, {}, {}
        self.refused, self.release, self.seconds = "", "", 0

    def said(self):
        if self.refused:
            return "cannot load: " + self.refused
        counts = {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}
        return ", ".join(f"{len(v)} {k}" for k, v in counts.items() if v) or "nothing ran"

    def data(self):
        return {**vars(self), "passed": sorted(self.passed)}


def report(path):
    """[(name, state, why)] of pytest's XML."""
    try:
        tree = ET.parse(path).getroot()
    except (OSError, ET.ParseError):
        return []
    rows = []
    for case in tree.iter("testcase"):
        name = f"{case.get('classname').rpartition('.')[2]}.{case.get('name')}"
        state, why = "passed", ""
        for child in case:
            if child.tag in ("failure", "error"):
                state, why = "failed", (child.get("message") or "").splitlines()[:1]
                why = why[0] if why else ""
            elif child.tag == "skipped" and state == "passed":
                state, why = "skipped", child.get("message") or "no reason given"
        rows.append((name, state, why))
    return rows


def fetch(script, *args):
    """What the script prints, and why it failed."""
    done = subprocess.run([HERE / script, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    why = (done.stderr.strip().splitlines() or [f"{script} failed"])[-1] if done.returncode else ""
    return done.stdout.strip(), why


def run_cell(args, kernel, hooks, unit, again):
    """unit: with the unit tests as well; again: another cell runs what needs no hooks."""
    cell = Cell(kernel, hooks)
    reports = args.reports / f"{kernel}-{hooks}"
    if why := fetch("kernel.sh", kernel, args.arch)[1]:
        cell.skipped["kernel"] = why
        return cell
    reports.mkdir(parents=True, exist_ok=True)
    for old in reports.iterdir():
        old.unlink()
    slower = SLOWER if args.jobs <= os.cpu_count() else CROWDED
    env = {**os.environ, "WEFT_TEST_HOOKS": hooks, "WEFT_TIME_SCALE": str(slower), "WEFT_BUILD": str(args.build),
           "WEFT_TEST_MADE": args.made, "WEFT_REQUIRE_LIVE": "1"}
    if again and not args.tests:
        env["PYTEST_ADDOPTS"] = " ".join([*(f"--ignore={name}" for name in WITHOUT_HOOKS), env.get("PYTEST_ADDOPTS", "")])
    argv = [HERE / "guest.sh", "--kernel", kernel, "--arch", args.arch, "--timeout", str(args.timeout),
            "--cpus", str(args.cpus), "--writable", reports, "--", args.python,
            HERE / "inside.py", reports, hooks, unit,
            args.only.get((kernel, hooks)) or (args.k or "") + args.more.get(kernel, ""), *args.tests]
    start = time.monotonic()
    with open(reports / "log", "wb") as log:
        status = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                cwd=ROOT).returncode
    cell.seconds = time.monotonic() - start
    try:
        found = json.loads((reports / "doctor.json").read_text())
        cell.release, cell.refused = found["kernel"], found["refused"]
    except (OSError, ValueError, KeyError):
        found = None
    for name, why in (found or {}).get("unit", {}).items():
        if why:
            cell.failed[name] = why
        else:
            cell.passed.append(name)
    for name, state, why in report(reports / "first.xml"):
        if why == "collection skipped":  # a whole file; what it would hold is not known
            name = name.rpartition(".")[2]
        if state == "passed":
            cell.passed.append(name)
        else:
            (cell.failed if state == "failed" else cell.skipped)[name] = why
    for name, state, _ in report(reports / "second.xml"):
        why = cell.failed.get(name, "")
        if state == "passed" and name in cell.failed and not re.search(r"wrong': [1-9]", why):
            cell.again[name] = cell.failed.pop(name)
            cell.passed.append(name)
    if found is None or (status not in (0, 1) and not cell.failed):
        cell.failed["guest"] = f"exit status {status}, see the log"
    expected = args.absent.get((kernel, hooks.partition("-")[0]))
    if cell.refused and not expected:
        cell.failed["load"] = f"this kernel has what it takes: {cell.refused}"
    elif expected and found and expected not in cell.refused:
        cell.failed["load"] = f"not refused with: {expected}"
    return cell


def build(args):
    """Why it failed, or nothing."""
    if not (args.build / "build.ninja").exists():
        argv = ["meson", "setup", args.build]
        if args.arch != NATIVE:
            argv += ["-Dwerror=true", "--cross-file", f"{args.root}.ini", "--cross-file", HERE / f"{args.arch}.ini"]
        if args.clang:
            native = args.build.with_name(f"{args.build.name}.ini")
            native.write_text(f"[binaries]\nclang = 'clang-{args.clang}'\n")
            argv += ["--native-file", native]
        subprocess.run(argv, cwd=ROOT, check=True)
    done = subprocess.run(["ninja", "-C", args.build, "--quiet"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    print(done.stdout[-8000:], end="")
    said = re.findall(r"^.*\berror: .*$", done.stdout + done.stderr, re.M)
    return said[0] if said else f"ninja's exit status {done.returncode}"


def cross_build(args):
    """The same as a line of the table."""
    cell = Cell("build", args.arch)
    start = time.monotonic()
    if args.root_missing:
        cell.skipped["build"] = args.root_missing
    elif why := build(args):
        cell.failed["build"] = why
    else:
        cell.passed.append("build")
    cell.seconds = time.monotonic() - start
    return cell


def words(text):
    return text.split(",")


def arguments():
    p = argparse.ArgumentParser(prog="tests/vm/run.sh", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kernel", type=words, help=f"some of {','.join(KERNELS)}; default all")
    p.add_argument("--arch", choices=FOREIGN, default=NATIVE, help="cross-build for it, and emulate it")
    p.add_argument("--hooks", type=words, help=f"some of {','.join(HOOKS)}; or {','.join(hooksets.ALL)}: each over both "
                   "transports; default the former")
    p.add_argument("-k", metavar="EXPR", help="only these tests, as pytest's -k")
    p.add_argument("--quick", action="store_true", help="the small part of it that CI runs")
    p.add_argument("--cpus", type=int, default=2)
    p.add_argument("--jobs", type=int, default=1, metavar="N", help="guests at the same time; each keeps about half a CPU "
                   "busy, and has 3 GiB; default 1")
    p.add_argument("--timeout", type=int, default=14400, metavar="S", help="of each guest")
    p.add_argument("--build", type=pathlib.Path, metavar="DIR", help="default build, or WEFT_BUILD",
                   default=pathlib.Path(os.environ.get("WEFT_BUILD", ROOT / "build")))
    p.add_argument("--clang", metavar="N", help="programs made by clang-N, in a build directory of their own")
    p.add_argument("tests", nargs="*", help="files of tests/e2e; default all")
    args = p.parse_args()
    for given, known in ((args.kernel, KERNELS), (args.hooks, [*HOOKS, *hooksets.ALL])):
        if unknown := set(given or ()) - set(known):
            p.error(f"unknown: {', '.join(sorted(unknown))}")
    foreign = args.arch != NATIVE
    args.more, args.only = (QUICK_MORE, QUICK_ONLY) if args.quick and not args.k and not foreign else ({}, {})
    if args.quick and not args.k:
        args.k = QUICK_FOREIGN if foreign else QUICK
    if args.quick and foreign:
        args.tests = args.tests or QUICK_FOREIGN_TESTS
    args.unit = foreign and not args.k and not args.tests
    args.absent = {**ABSENT, **ABSENT_ON.get(args.arch, {})}
    args.quick_kernels = QUICK_FOREIGN_KERNELS if foreign else QUICK_KERNELS
    args.build = args.build.resolve()
    venv = args.build / "venv/bin/python"
    if foreign:
        args.build = args.build.with_name(f"{args.build.name}-{args.arch}")
    if args.clang:
        args.build = args.build.with_name(f"{args.build.name}-clang{args.clang}")
    args.python = venv if venv.exists() and not foreign else pathlib.Path("/usr/bin/python3")
    return args


def cells(args):
    for kernel in args.kernel or [k for k in KERNELS if args.arch == NATIVE or "azure" not in k]:
        for hooks in args.hooks or (args.quick_kernels.get(kernel, []) if args.quick else HOOKS):
            yield kernel, hooks


@contextlib.contextmanager
def made(args):
    """A directory with what the tests would fetch or build, for which a guest has neither the network nor the time."""
    with tempfile.TemporaryDirectory(prefix="made-", dir=args.build) as directory:
        pathlib.Path(directory).chmod(0o755)  # for servers that give up root
        done = subprocess.run([args.python, ROOT / "tests/e2e/weftlib/made.py", directory], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        print("".join(f"{line}\n" for line in done.stdout.splitlines() if line.startswith("not made")), end="", flush=True)
        yield directory


def results(args):
    """Each line of the table, when it is there."""
    if args.arch == NATIVE:
        if why := build(args):
            sys.exit(why)
    else:
        cell = cross_build(args)
        yield cell
        if not cell.passed:
            return
    unit, kernels, found = args.unit, set(), []
    # CI's part needs little of what is made, and another architecture would need its own.
    with (contextlib.nullcontext("") if args.quick or args.arch != NATIVE else made(args)) as args.made, \
            concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for kernel, hooks in cells(args):
            absent = (kernel, hooks.partition("-")[0]) in args.absent
            now = unit and not absent  # once: no kernel makes a difference to them
            unit = unit and not now
            fetch("kernel.sh", kernel, args.arch)  # one at a time
            found.append(pool.submit(run_cell, args, kernel, hooks, "unit" if now else "", kernel in kernels))
            if not absent:
                kernels.add(kernel)
        yield from (one.result() for one in concurrent.futures.as_completed(found))


def main():
    args = arguments()
    args.root, args.root_missing = fetch("root.sh", args.arch) if args.arch != NATIVE else ("/", "")
    args.reports = args.build / "reports/vm"
    done, lines = [], []
    for cell in results(args):
        done.append(cell)
        lines.append(f"{cell.kernel:6} {cell.hooks:14} {cell.seconds:6.0f} s  {cell.said()}")
        print(lines[-1], flush=True)
        for name, why in cell.failed.items():
            print(f"  FAILED {name}: {why[:200]}")
        for name, why in cell.skipped.items():
            print(f"  skipped {name}: {why}")
        for name, why in cell.again.items():
            print(f"  passed at its second run: {name}; the first said: {why[:200]}")
    args.reports.mkdir(parents=True, exist_ok=True)
    (args.reports / "table.txt").write_text("\n".join(lines) + "\n")
    (args.reports / "table.json").write_text(json.dumps([cell.data() for cell in done], indent=1))
    print(f"logs and the table are in {args.reports}")
    sys.exit(any(cell.failed for cell in done))


if __name__ == "__main__":
    main()
