# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. Live ones need root, cgroup v2 and a built agent; where one of
them is missing they are skipped by name with the reason."""
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from weftlib import cgroup, clock, hooksets, paths, servers  # noqa: E402
from weftlib.lab import Lab  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "live: attaches eBPF programs to this machine")
    config.addinivalue_line("markers", "guest_only: touches the whole machine: only where WEFT_GUEST=1 says that it is "
                            "a throw-away one")
    config.addinivalue_line("markers", "core: runs with every set of hooks and every transport")


def pytest_generate_tests(metafunc):
    if "hooks" not in metafunc.fixturenames:
        return
    pairs = hooksets.pairs(core=bool(metafunc.definition.get_closest_marker("core")))
    metafunc.parametrize("hooks", pairs, ids=["-".join(p) for p in pairs], indirect=True)


def pytest_runtest_setup(item):
    if item.get_closest_marker("guest_only") and os.environ.get("WEFT_GUEST") != "1":
        pytest.skip("traces the whole machine: only in a throw-away guest (WEFT_GUEST=1)")


def pytest_runtest_logreport(report):
    """In a guest a failure is told at once: its time may be over before pytest's own report."""
    if report.failed and os.environ.get("WEFT_GUEST") == "1":
        print(f"\n{report.longreprtext}", flush=True)


def live_or_skip():
    why = ("needs root" if os.geteuid() != 0 else
           f"the agent is not built: {paths.WEFT}" if not paths.WEFT.exists() else
           "no cgroup v2 is mounted" if cgroup.mount_point() is None else None)
    if why and os.environ.get("WEFT_REQUIRE_LIVE"):
        pytest.fail(f"a live test cannot run: {why}")
    if why:
        pytest.skip(why)


@functools.cache
def refused(hook_set):
    """Why the kernel does not allow these hooks; None if it does."""
    done = subprocess.run([paths.WEFT, "doctor", "--json", "--hooks", hook_set], capture_output=True, text=True,
                          timeout=60)
    report = json.loads(done.stdout)
    return None if report["hooks"] else report["hooks_reason"]


@pytest.fixture(scope="session")
def hooks(request):
    """(hooks, transport). Not every kernel has the fentry hooks; the others must work, and so must
    what was asked for."""
    pair = getattr(request, "param", hooksets.DEFAULT)
    if pair[0] == "fentry" and not hooksets.ASKED and paths.WEFT.exists():
        if why := refused("fentry"):
            pytest.skip(f"fentry hooks: {why}")
    return pair


@pytest.fixture(scope="session", autouse=True)
def readable(tmp_path_factory):
    """Servers that give up root must reach their files below pytest's own directory."""
    base = tmp_path_factory.getbasetemp()
    for path in (base, base.parent):
        path.chmod(path.stat().st_mode & 0o7777 | 0o055)  # never less: the parent may be /tmp


@pytest.fixture
def lab(tmp_path):
    live_or_skip()
    tmp_path.chmod(0o755)
    it = Lab(tmp_path)
    yield it
    it.close()


@pytest.fixture
def traced(lab, hooks):
    """The laboratory with an agent that traces its cgroup."""
    lab.agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    yield lab


@pytest.fixture(scope="module")
def batch(request, hooks, tmp_path_factory):
    """Plays a module's cases (its function `play(lab)`) under one agent; the spans by case. A case
    is what follows the last ":" of a service's name. SAID: what the agent may say meanwhile."""
    live_or_skip()
    tmp = tmp_path_factory.mktemp("batch")
    tmp.chmod(0o755)
    it = Lab(tmp)
    try:
        agent = it.weft(hooks=hooks[0], transport=hooks[1])
        notes = request.module.play(it)
        cases = {}
        for s in agent.stop(expect_log=getattr(request.module, "SAID", None)):
            cases.setdefault(s.service.rpartition(":")[2], []).append(s)
        yield cases, notes
    finally:
        it.close()


@pytest.fixture
def need():
    def check(*kinds):
        for kind in kinds:
            if kind == "dotnet" and clock.SCALE > 1:
                pytest.skip("emulated, .NET compiles for longer than a request may take")
            if why := servers.missing(*servers.NEEDS[kind]):
                pytest.skip(why)
    return check
