# SPDX-License-Identifier: Apache-2.0
"""A web server that works through an io_uring alone: with the fentry hooks every byte is seen, and
parents are right; with the others it is a hole that is counted."""
import threading
import time

import pytest
from weftlib import http, paths, servers
from weftlib.proc import free_port
from weftlib.spans import check_sane

ONE_BY_ONE, AT_ONCE = 6, 24
pytestmark = pytest.mark.core


def uring_server(lab, leaf, mode):
    if not (program := paths.built("uring_server")):
        pytest.skip("uring_server is not built (no liburing?)")
    port = free_port()
    process = lab.process([program, port, leaf, mode], "ring")
    try:
        process.wait_port(port)
    except RuntimeError:
        if process.wait() == 77:
            pytest.skip(process.output().strip())
        raise
    return port


def ask(port, paths):
    raw = http.Raw(port)
    for path in paths:
        raw.send(http.request(path))
        assert path.encode() in raw.reply()
    raw.close()


def drive(port):
    """The paths that were asked for, first one by one, then many at once."""
    first = [f"/call/a{i}" for i in range(ONE_BY_ONE)]
    lists = [[f"/call/b{i}x{j}" for j in range(3)] for i in range(AT_ONCE // 3)]
    time.sleep(1.2)  # a request proves something if nothing was going on before it
    for path in first:
        ask(port, [path])
    threads = [threading.Thread(target=ask, args=(port, some)) for some in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return first + sum(lists, [])


@pytest.mark.parametrize("mode", ["plain", "worker", "sqpoll"])
def test_server(traced, hooks, need, mode):
    need("nginx")
    leaf = servers.nginx(traced, "leaf")
    asked = drive(uring_server(traced, leaf.port, mode))
    metrics = traced.agent.settle()
    spans = traced.agent.stop()
    check_sane(spans)
    by_id = {s.id: s for s in spans}
    ring = [s for s in spans if s.service == "ring"]
    at_leaf = [s for s in spans if s.service == "leaf"]
    assert len(at_leaf) == len(asked), spans
    for s in spans:
        if s.parent:  # the token says whose call it was
            assert by_id[s.parent].path.rpartition("/")[2] == s.path.rpartition("/")[2], (by_id[s.parent], s)
    if hooks[0] != "fentry":
        # its own spans are at most connects that never failed, and guesses of none
        assert not [s for s in ring if s.code], ring
        assert hooks[0] == "syscalls" or metrics.kernel("no_copy_uring") > 0, metrics.text
        return
    calls = [s for s in ring if s.kind == "client"]
    assert sorted(s.path for s in ring if s.kind == "server") == sorted(asked)
    assert sorted(s.path for s in calls) == sorted(p.replace("/call/", "/leaf/") for p in asked)
    assert all(s.code == 200 and not s.error for s in ring), ring
    assert all(s.link == "socket" and by_id[s.parent] in calls for s in at_leaf), at_leaf
    assert metrics.kernel("no_copy_uring") == 0, metrics.text
    # one request at a time leaves no doubt
    alone = [s for s in calls if "/a" in s.path]
    assert sum(bool(s.parent) for s in alone) >= ONE_BY_ONE - 1, alone
