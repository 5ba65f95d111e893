# SPDX-License-Identifier: Apache-2.0
"""Builds weft and runs its tests; the last line says how many passed, failed and were skipped.

Without an option: unit tests, the same under the address and undefined behaviour sanitizers, fuzzers
for a fixed number of runs, formatting, checks of the tree, and live tests with real servers.
In CI (CI=true) warnings are errors, and a skipped live test is a failure.
"""
import argparse
import collections
import concurrent.futures
import fnmatch
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
ASAN = ROOT / "build-asan"
FUZZ = ROOT / "build-fuzz"
REPORTS = BUILD / "reports"
IN_CI = os.environ.get("CI", "") not in ("", "false", "0")

FUZZ_RUNS = 100000
FUZZ_SECONDS = 60  # a bound for slow machines, of each fuzzer
FORMAT_VERSION = 14  # another clang-format lays out some lines differently
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
SANITIZED = ["-Db_sanitize=address,undefined", "-Db_lundef=false"] + (["-Dwerror=true"] if IN_CI else [])
SANITIZER = re.compile(r".*(ERROR: (Address|Leak)Sanitizer|runtime error:).*")
MORE_LINES = 30  # of what a failed test said
TIDY = ("agent", "tests/bench")

passed, failed, skipped = [], [], []


class Result:
    def __init__(self, name, state, why="", log=None, more=()):
        self.name, self.state, self.why, self.log, self.more = name, state, why, log, more


def relative(path, base=ROOT):
    return os.path.relpath(path, base)


def run(argv, log, env=None, timeout=1200, cwd=ROOT):
    """The exit status; output goes to the log. 124: it took too long and was ended."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as out:
        out.write(("$ " + shlex.join(map(str, argv)) + "\n").encode())
        out.flush()
        try:
            return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                  cwd=cwd, timeout=timeout, env={**os.environ, **(env or {})}).returncode
        except subprocess.TimeoutExpired:
            out.write(f"\nended after {timeout} s\n".encode())
            return 124
        except OSError as e:
            out.write(f"{e}\n".encode())
            return 127


def tail(log, lines=25):
    text = log.read_text(errors="replace").splitlines()
    return "\n".join("    | " + line for line in text[-lines:])


def suite(title, results, seconds):
    """Prints a suite's line and the details of what did not pass."""
    by_state = {"passed": passed, "failed": failed, "skipped": skipped}
    counts = {state: 0 for state in by_state}
    for r in results:
        by_state[r.state].append(r)
        counts[r.state] += 1
    said = ", ".join(f"{n} {state}" for state, n in counts.items() if n) or "nothing to run"
    print(f"{title:<14} {said:<40} {seconds:7.1f} s", flush=True)
    for r in results:
        if r.state == "failed":
            print(f"  FAILED {r.name}" + (f": {r.why}" if r.why else ""))
            for line in r.more[-MORE_LINES:]:  # a log of CI is all that is left of it
                print(f"    | {line[:300]}")
            if r.log:
                print(f"    log: {relative(r.log)}")


def timed(title, function, *args):
    return timed_together({title: (function, *args)})[title]


def timed_together(suites):
    """Suites that do not disturb each other, at the same time; the results of each."""
    def call(function, *args):
        start = time.monotonic()
        return function(*args), time.monotonic() - start

    with concurrent.futures.ThreadPoolExecutor(len(suites)) as pool:
        running = {title: pool.submit(call, *job) for title, job in suites.items()}
    for title, job in running.items():
        suite(title, *job.result())
    return {title: job.result()[0] for title, job in running.items()}


def is_wanted(name, only):
    return not only or only in name or fnmatch.fnmatch(name, only)


# Building

def look_again(directory, log):
    """What was not installed when a directory was set up may be there by now: meson remembers its answers."""
    packages = pathlib.Path("/var/lib/dpkg/status")
    if packages.exists() and packages.stat().st_mtime > (directory / "build.ninja").stat().st_mtime:
        run(["meson", "configure", "--clearcache", directory], log)
        run(["meson", "setup", "--reconfigure", directory], log)


def build(directory, setup_args=(), env=None, targets=()):
    """None, or the failed result."""
    log = REPORTS / f"{directory.name}.log"
    if not (directory / "build.ninja").exists():
        shutil.rmtree(directory, ignore_errors=True)
        if run(["meson", "setup", directory, *setup_args], log, env):
            REPORTS.mkdir(parents=True, exist_ok=True)
            return Result(f"build {directory.name}", "failed", "meson setup", log)
    look_again(directory, log)
    if run(["ninja", "-C", directory, *targets], log):
        return Result(f"build {directory.name}", "failed", "does not build\n" + tail(log), log)
    return None


def strict():
    return ["-Dwerror=true"] if IN_CI else []


def build_suite(args):
    log = REPORTS / "setup.log"
    if not (BUILD / "build.ninja").exists():
        # The reports live below the build directory, which meson wants to make itself.
        first = ROOT / "build.setup.log"
        status = run(["meson", "setup", BUILD, *strict()], first)
        if BUILD.is_dir():
            REPORTS.mkdir(exist_ok=True)
            first.replace(log)
        if status:
            return [Result("build", "failed", "meson setup", log if log.exists() else first)]
    broken = build(BUILD)
    return [broken] if broken else [Result("build", "passed")]


# Unit tests

def meson_tests(directory):
    out = subprocess.run(["meson", "introspect", "--tests", directory], capture_output=True, cwd=ROOT)
    return json.loads(out.stdout) if out.returncode == 0 else []


def criterion_results(program, xml, log, status, only):
    text = log.read_text(errors="replace")
    reasons = dict(re.findall(r"\[SKIP\] (\S+?::\S+?): (.+)", text))
    results = []
    try:
        tree = ET.parse(xml).getroot()
    except (OSError, ET.ParseError):
        return [Result(program, "failed", f"exit status {status}, no report\n" + tail(log), log)]
    for group in tree.iter("testsuite"):
        for case in group.iter("testcase"):
            name = f"{program}.{group.get('name')}.{case.get('name')}"
            state = case.get("status")
            if only and state == "SKIPPED":
                continue
            if state == "PASSED":
                results.append(Result(name, "passed"))
            elif state == "SKIPPED":
                why = reasons.get(f"{group.get('name')}::{case.get('name')}", "no reason given")
                results.append(Result(name, "skipped", why))
            else:
                said = " ".join((e.get("message") or "") + " " + (e.text or "").strip() for e in case)
                results.append(Result(name, "failed", said.strip(), log))
    # a leak shows when a test has passed already
    if found := SANITIZER.search(text):
        results.append(Result(program, "failed", found.group(0), log))
    elif status and not any(r.state == "failed" for r in results):
        results.append(Result(program, "failed", f"exit status {status}\n" + tail(log), log))
    return results


def unit_suite(args, directory, label, env=None):
    results = []
    for test in meson_tests(directory):
        name = f"{label}.{test['name'].split(':')[-1]}"
        log = REPORTS / label / f"{test['name'].replace(':', '-')}.log"
        xml = log.with_suffix(".xml")
        xml.unlink(missing_ok=True)
        xml.parent.mkdir(parents=True, exist_ok=True)
        is_criterion = any(s.split(":")[-1] == "unit" for s in test["suite"])
        only = args.only
        if only and is_wanted(name, only):
            only = None
        elif only and not is_criterion:
            continue
        argv = list(test["cmd"])
        if is_criterion:
            argv += [f"--xml={xml}", "--verbose=1", "--timeout", "60"]
            if only:
                argv += ["--filter", f"*{only}*"]
        full_env = {**(env or {}), **(test["env"] if isinstance(test["env"], dict) else {})}
        status = run(argv, log, full_env, max(300, test["timeout"]), test["workdir"] or ROOT)
        if is_criterion:
            results += criterion_results(name, xml, log, status, only)
        elif status == 77:
            results.append(Result(name, "skipped", tail(log, 1).strip(" |")))
        else:
            results.append(Result(name, "failed" if status else "passed",
                                  f"exit status {status}" if status else "", log))
    return results


def sanitized_suite(args):
    broken = build(ASAN, SANITIZED)
    return [broken] if broken else unit_suite(args, ASAN, "sanitized", SANITIZERS)


# Fuzzers

def build_clang():
    """The failed result or None, and the fuzzers. The generated headers, built too, are for clang-tidy."""
    broken = build(FUZZ, strict(), {"CC": "clang"}, ["build.ninja"])
    if broken:
        return broken, []
    out = subprocess.run(["meson", "introspect", "--targets", FUZZ], capture_output=True, cwd=ROOT)
    targets = json.loads(out.stdout or b"[]")
    fuzzers = [t["filename"][0] for t in targets
               if t["type"] == "executable" and "/tests/fuzz/" in t["defined_in"]]
    headers = [f for t in targets if t["type"] == "custom" for f in t["filename"] if f.endswith(".h")]
    return build(FUZZ, targets=[relative(p, FUZZ) for p in fuzzers + headers]), fuzzers


def fuzz(program):
    name = program.name
    log = REPORTS / "fuzz" / f"{name}.log"
    found = REPORTS / "fuzz" / f"{name}.found"
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir(parents=True)
    noun = name.removeprefix("fuzz_")
    seeds = [p for p in (ROOT / "tests/fuzz/corpus" / noun, ROOT / "tests/fuzz/corpus" / name) if p.is_dir()]
    status = run([program, f"-runs={FUZZ_RUNS}", f"-max_total_time={FUZZ_SECONDS}", "-seed=1", "-timeout=10",
                  "-rss_limit_mb=1024", f"-artifact_prefix={found}/", found, *seeds], log, SANITIZERS, 600)
    return Result(f"fuzz.{name}", "failed" if status else "passed", tail(log) if status else "", log)


def fuzz_suite(args):
    if not shutil.which("clang"):
        return [Result("fuzz", "skipped", "clang is not installed")]
    broken, programs = build_clang()
    if broken:
        return [broken]
    wanted = [p for p in map(pathlib.Path, programs) if is_wanted(f"fuzz.{p.name}", args.only)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(fuzz, wanted))
    return results if programs else [Result("fuzz", "failed", "no fuzzer is built")]


# Formatting, linters and checks of the tree

def sources(*suffixes):
    out = subprocess.run(["git", "ls-files", "-z", "--", *(f"*{s}" for s in suffixes)],
                         capture_output=True, cwd=ROOT, check=True)
    return [p for p in out.stdout.decode().split("\0") if p and (ROOT / p).exists()]


def format_suite(args):
    tool = shutil.which(f"clang-format-{FORMAT_VERSION}") or shutil.which("clang-format")
    if not tool:
        return [Result("format", "skipped", "clang-format is not installed")]
    version = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout
    major = int(re.search(r"version (\d+)", version).group(1))
    if major != FORMAT_VERSION:
        return [Result("format", "skipped", f"the layout is clang-format {FORMAT_VERSION}'s, this is {major}")]
    log = REPORTS / "format.log"
    status = run([tool, "--dry-run", "-Werror", *sources(".c", ".h")], log)
    wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error:", log.read_text(errors="replace"), re.M)))
    return [Result("format", "failed" if status else "passed",
                   "run clang-format -i " + " ".join(wrong) if status else "", log)]


def tidy(path):
    """The log if clang-tidy minds the file."""
    log = REPORTS / "tidy" / (path.replace("/", "-") + ".log")
    return log if run(["clang-tidy", "--quiet", "-p", FUZZ, path], log) else None


def lint_suite(args):
    results = []
    if not shutil.which("clang-tidy"):
        results.append(Result("clang-tidy", "skipped", "clang-tidy is not installed"))
    else:
        # clang's own compile commands: gcc's flags are unknown to it
        broken, _ = build_clang()
        if broken:
            return [broken]
        paths = [p for p in sources(".c") if p.startswith(TIDY) and not p.endswith(".bpf.c")]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            logs = [log for log in pool.map(tidy, paths) if log]
        said = "".join("\n" + tail(log, 12) for log in logs)
        results.append(Result("clang-tidy", "failed" if logs else "passed", said, REPORTS / "tidy"))
    if not shutil.which("cppcheck"):
        results.append(Result("cppcheck", "skipped", "cppcheck is not installed"))
    else:
        log = REPORTS / "cppcheck.log"
        status = run(["cppcheck", "-j2", "--quiet", "--std=c11", "--enable=warning,performance,portability",
                      "--inline-suppr", "--error-exitcode=1", "--suppress=missingIncludeSystem",
                      "--suppressions-list=tests/check/cppcheck.txt", "-D_GNU_SOURCE", "-Iagent", "-Iinclude",
                      "agent"], log)
        results.append(Result("cppcheck", "failed" if status else "passed", "\n" + tail(log) if status else "", log))
    return results


def pytest_results(label, xml, log, status):
    results = []
    try:
        tree = ET.parse(xml).getroot()
    except (OSError, ET.ParseError):
        return [Result(label, "failed", f"exit status {status}, no report\n" + tail(log), log)]
    for case in tree.iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}".removeprefix("tests.")
        state, why, more = "passed", "", []
        for child in case:
            if child.tag in ("failure", "error"):
                state, said = "failed", (child.get("message") or "").splitlines()
                why = said[0][:200] if said else ""
                more = said[1:]
            elif child.tag == "skipped" and state == "passed":
                state, why = "skipped", child.get("message") or "no reason given"
        results.append(Result(name, state, why, log, more))
    # 5: nothing was collected, which --only may well ask for
    if status not in (0, 1, 5) or (status == 1 and not any(r.state == "failed" for r in results)):
        results.append(Result(label, "failed", f"pytest's exit status {status}\n" + tail(log), log))
    return results


def pytest_suite(args, label, python, paths, env=None, timeout=900, marker=None):
    log, xml = REPORTS / f"{label}.log", REPORTS / f"{label}.xml"
    xml.unlink(missing_ok=True)
    argv = [python, "-m", "pytest", "-q", "-rA", f"--rootdir={ROOT}", f"--junitxml={xml}", "-p",
            "no:cacheprovider", *paths]
    if marker:
        argv += ["-m", marker]
    if args.only:
        argv += ["-k", args.only.replace("*", "")]
    status = run(argv, log, {"PYTHONDONTWRITEBYTECODE": "1", "WEFT_BUILD": str(BUILD), **(env or {})}, timeout)
    return pytest_results(label, xml, log, status)


def check_suite(args):
    return pytest_suite(args, "check", "/usr/bin/python3", ["tests/check"])


def deploy_suite(args):
    """What deploy/ holds. The image is really built, which needs root and the packages of the kind "image"."""
    python, why = venv()
    results = pytest_suite(args, "deploy", str(python), ["tests/deploy"], timeout=1200)
    if why:
        results.append(Result("deploy requirements", "failed" if IN_CI else "skipped", why))
    return results


def chart_suite(args):
    """helm/weft. Its tools come from npm, and Kubernetes' schemas with the tests' requirements."""
    python, why = venv()
    results = pytest_suite(args, "chart", str(python), ["tests/chart"], timeout=300)
    if why:
        results.append(Result("chart requirements", "failed" if IN_CI else "skipped", why))
    return results


# Live tests

def venv():
    """The interpreter of the live tests' environment, and why the packages are not there."""
    directory, wanted = BUILD / "venv", ROOT / "tests/requirements.txt"
    python = directory / "bin/python"
    digest = hashlib.sha256(wanted.read_bytes() if wanted.exists() else b"").hexdigest()
    stamp = directory / "requirements.sha256"
    if not python.exists():
        shutil.rmtree(directory, ignore_errors=True)
        if run(["/usr/bin/python3", "-m", "venv", "--system-site-packages", directory], REPORTS / "venv.log"):
            return "/usr/bin/python3", "no virtual environment: is python3-venv installed?"
    if not stamp.exists() or stamp.read_text() != digest:
        if wanted.exists() and run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check",
                                    "-r", wanted], REPORTS / "venv.log"):
            return python, f"pip could not install tests/requirements.txt, see {relative(REPORTS / 'venv.log')}"
        stamp.write_text(digest)
    return python, ""


SECOND_LOOK_MAX = 10


def second_look(args, label, python, env, results):
    """Runs the few tests that failed once more, on a machine that has gone quiet: what a stolen second of CPU
    broke passes then, and is named. A wrong parent gets no second chance."""
    failed = {r.name: r for r in results if r.state == "failed" and not re.search(r"wrong': [1-9]", r.why)}
    if not failed or len(failed) > SECOND_LOOK_MAX:
        return
    ids = []
    for name in failed:
        module, _, test = name.removeprefix("e2e.").partition(".")
        ids.append(f"tests/e2e/{module}.py::{test}")
    for again in pytest_suite(args, f"{label} again", python, ids, env, 900):
        if again.state == "passed" and again.name in failed:
            failed[again.name].state = "passed"
            print(f"  passed at its second run: {again.name}; the first said: {failed[again.name].why}", flush=True)


def mount_tracefs():
    """A fresh machine may not have it mounted; the `syscalls` hooks find their tracepoints there."""
    at = pathlib.Path("/sys/kernel/tracing")
    if at.is_dir() and not (at / "events").is_dir():
        run(["mount", "-t", "tracefs", "tracefs", at], REPORTS / "tracefs.log")


def live_suite(args, label, env, marker=None):
    if os.geteuid() != 0:
        return [Result(label, "failed" if IN_CI else "skipped", "needs root to load eBPF programs")]
    mount_tracefs()
    python, why = venv()
    if IN_CI:
        env = {**env, "WEFT_REQUIRE_LIVE": "1"}
    results = pytest_suite(args, label, str(python), ["tests/e2e"], env, 2700, marker)
    second_look(args, label, str(python), env, results)
    if why:
        results.append(Result(f"{label} requirements", "failed" if IN_CI else "skipped", why))
    for r in results:
        if IN_CI and r.state == "skipped" and re.search(r"needs root|not built|no cgroup|e?bpf", r.why, re.I):
            r.state, r.why = "failed", f"skipped in CI: {r.why}"
    return results


def live_sanitized_suite(args):
    """What runs over every hook set, with the agent built for the sanitizers: over one, for the agent's part is the
    same, and by the way of records that it has more to do with."""
    broken = build(ASAN, SANITIZED)
    if broken:
        return [broken]
    env = {**SANITIZERS, "WEFT_BIN": str(ASAN / "agent/weft"), "WEFT_TEST_HOOKS": "sock-perf"}
    results = live_suite(args, "live-sanitized", env, "core")
    for r in results:
        r.name = f"sanitized.{r.name}"
    return results


def vm_suite(args):
    """The small part of tests/vm that fits into CI: a result for each kernel, set of hooks and test."""
    return guests("vm", ["qemu-system-x86_64"], BUILD, [])


def arm64_suite(args):
    """The cross build for arm64, and the part of the live tests there that fits into CI, in one guest."""
    return guests("arm64", ["qemu-system-aarch64", "clang", "ld.lld", "llvm-ar"], BUILD.with_name("build-arm64"),
                  ["--arch", "arm64"])


def kube_suite(args):
    """A cluster of one node: a real API server, a real containerd, weft as its chart runs it in its own image."""
    if os.geteuid() != 0:
        return [Result("kube", "failed" if IN_CI else "skipped", "needs root")]
    python, _ = venv()
    return pytest_suite(args, "kube", str(python), ["tests/kube"], timeout=1800)


def guests(label, programs, directory, more):
    missing = [f"{program} is not installed" for program in programs if not shutil.which(program)]
    if why := ["needs root"] * (os.geteuid() != 0) + missing:
        return [Result(label, "skipped", why[0])]
    log, table = REPORTS / f"{label}.log", directory / "reports/vm/table.json"
    table.unlink(missing_ok=True)
    run(["/usr/bin/python3", "tests/vm/run.py", "--quick", "--build", BUILD, "--timeout", "600", *more], log,
        timeout=1500)
    try:
        cells = json.loads(table.read_text())
    except (OSError, ValueError):
        return [Result(label, "failed", "no table\n" + tail(log), log)]
    results = []
    for cell in cells:
        name = f"{label}.{cell['kernel']}-{cell['hooks']}"
        if cell["refused"] and not cell["failed"]:
            results.append(Result(f"{name}.refused", "passed"))
        results += [Result(f"{name}.{test}", "passed") for test in cell["passed"]]
        for state in ("failed", "skipped"):
            results += [Result(f"{name}.{test}", state, why, log) for test, why in cell[state].items()]
        for test, why in cell["again"].items():
            print(f"  passed at its second run: {name}.{test}; the first said: {why[:200]}", flush=True)
    return results


def main():
    p = argparse.ArgumentParser(prog="tests/run.sh", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--unit", action="store_true", help="all but the live tests")
    p.add_argument("--live", action="store_true", help="the live tests only")
    p.add_argument("--lint", action="store_true", help="clang-tidy and cppcheck as well; always in CI")
    p.add_argument("--vm", action="store_true",
                   help="some live tests under other kernels and on arm64 as well; always in CI")
    p.add_argument("--kube", action="store_true",
                   help="a cluster of one node as well, whose API server is compiled first; always in CI")
    p.add_argument("--only", metavar="PATTERN", help="only tests whose name contains or matches it")
    args = p.parse_args()
    both = args.unit == args.live

    start = time.monotonic()
    built = timed("build", build_suite, args)[0].state == "passed"
    if args.unit or both:
        if built:
            timed("unit", unit_suite, args, BUILD, "unit")
            timed("sanitized", sanitized_suite, args)
            timed("fuzz", fuzz_suite, args)
        if not args.only:
            timed("format", format_suite, args)
            if args.lint or IN_CI:
                timed("lint", lint_suite, args)
        timed("check", check_suite, args)
        timed("deploy", deploy_suite, args)
        timed("chart", chart_suite, args)
    if (args.live or both) and built:
        timed("live", live_suite, args, "live", {})
        timed("live sanitized", live_sanitized_suite, args)
        if args.kube or IN_CI:
            timed("kube", kube_suite, args)
        if (args.vm or IN_CI) and not args.only:
            # a guest keeps one CPU busy
            timed_together({"vm": (vm_suite, args), "arm64": (arm64_suite, args)})

    if failed:
        print("\nfailed:")
        for r in failed:
            print(f"  {r.name}" + (f"  ({relative(r.log)})" if r.log else ""))
    if skipped:
        print("\nskipped:")
        for why in dict.fromkeys(r.why for r in skipped):
            print(f"  {why}")
            # a test that runs in many ways is named once
            names = collections.Counter(r.name.partition("[")[0] for r in skipped if r.why == why)
            text = ", ".join(f"{name} ({n})" if n > 1 else name for name, n in names.items())
            print(textwrap.fill(text, 118, initial_indent="    ", subsequent_indent="    ",
                                break_long_words=False, break_on_hyphens=False))
    print(f"\n{time.monotonic() - start:.0f} s; logs in {relative(REPORTS)}")
    print(f"{len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
