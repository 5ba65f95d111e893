# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. Live ones need root, cgroup v2 and a built agent; where one of
them is missing they are skipped by name with the reason."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from weftlib import cgroup, paths, servers  # noqa: E402
from weftlib.lab import Lab  # noqa: E402

MAIN = [("sock", "ringbuf")]
CORE = [("sock", "ringbuf"), ("sock", "perf"), ("syscalls", "ringbuf"), ("syscalls", "perf")]


def pytest_configure(config):
    config.addinivalue_line("markers", "live: attaches eBPF programs to this machine")
    config.addinivalue_line("markers", "core: runs with every set of hooks and every transport")


def pytest_generate_tests(metafunc):
    if "hooks" not in metafunc.fixturenames:
        return
    core = metafunc.definition.get_closest_marker("core")
    if only := os.environ.get("WEFT_TEST_HOOKS"):
        pairs = [tuple(pair.split("-")) for pair in only.split(",")]
    else:
        pairs = CORE if core else MAIN
    metafunc.parametrize("hooks", pairs, ids=["-".join(p) for p in pairs], indirect=True)


def live_or_skip():
    why = ("needs root" if os.geteuid() != 0 else
           f"the agent is not built: {paths.WEFT}" if not paths.WEFT.exists() else
           "no cgroup v2 is mounted" if cgroup.mount_point() is None else None)
    if why and os.environ.get("WEFT_REQUIRE_LIVE"):
        pytest.fail(f"a live test cannot run: {why}")
    if why:
        pytest.skip(why)


@pytest.fixture(scope="session")
def hooks(request):
    """(hooks, transport)"""
    return getattr(request, "param", MAIN[0])


@pytest.fixture(scope="session", autouse=True)
def readable(tmp_path_factory):
    """Servers that give up root must reach their files below pytest's own directory."""
    base = tmp_path_factory.getbasetemp()
    for path in (base, base.parent):
        path.chmod(0o755)


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
    is what follows the last ":" of a service's name."""
    live_or_skip()
    tmp = tmp_path_factory.mktemp("batch")
    tmp.chmod(0o755)
    it = Lab(tmp)
    try:
        agent = it.weft(hooks=hooks[0], transport=hooks[1])
        notes = request.module.play(it)
        cases = {}
        for s in agent.stop():
            cases.setdefault(s.service.rpartition(":")[2], []).append(s)
        yield cases, notes
    finally:
        it.close()


@pytest.fixture
def need():
    def check(*kinds):
        for kind in kinds:
            if program := servers.missing(*servers.NEEDS[kind]):
                pytest.skip(f"{program} is not installed")
    return check
