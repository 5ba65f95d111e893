# SPDX-License-Identifier: Apache-2.0
"""Loss, and its books: under a flood with a tiny ring, with tables that are too small, with a backend
that is dead. What is exported stays right, and every loss is counted."""
import os
import signal
import time

import pytest
from weftlib import books, maps, servers
from weftlib.clock import SCALE, patience, pause
from weftlib.http import Raw
from weftlib.proc import free_port
from weftlib.spans import Forest


def wrk(lab, port, seconds=2, connections=64, path="/leaf/x", traced=False):
    load = lab.process(["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{port}{path}"],
                       "wrk", traced=traced)
    assert load.wait(30) == 0, load.output()
    return int(next(line.split()[0] for line in load.output().splitlines() if "requests in" in line))


def right(spans):
    """No span with bytes of another: there is one path, one status."""
    Forest(spans)
    for s in spans:
        assert s.path == "/leaf/x" and s.method == "GET" and s.code in (0, 200), s


@pytest.mark.core
def test_flood_with_a_tiny_ring(lab, hooks, need):
    need("wrk", "nginx")
    leaf = servers.nginx(lab, "leaf", workers=2)
    agent = lab.weft(hooks=hooks[0], transport=hooks[1], args=["--ring-bytes", "64KiB"])
    done = wrk(lab, leaf.port)
    metrics = agent.settle()
    spans = agent.stop(lossless=False, expect_log="lost|dropped|full")
    right(spans)
    books.check(metrics, lossless=False)
    lost = metrics.kernel("lost_full") + metrics["weft_kernel_missed_total"]  # the latter with Linux 7, when it is busy
    assert lost > 0 or len(spans) >= done, (lost, len(spans), done)
    assert len(spans) <= done + 64


def test_flood_without_loss(lab, need):
    """At wrk's full speed with the default ring nothing is lost and every request has its span."""
    need("wrk", "nginx")
    leaf = servers.nginx(lab, "leaf")
    # the file that the spans go to may lie on a disk that stalls for longer than a queue of 4 MiB lasts
    agent = lab.weft(args=["--queue-bytes", "64MiB"])
    done = wrk(lab, leaf.port)
    spans = agent.stop()
    right(spans)
    assert done <= len([s for s in spans if s.code == 200]) <= done + 64


@pytest.mark.core
def test_connections_counted_too_often(lab, hooks, need):
    """Each end that is missed leaves the count of connections too high, until no more are followed: before that they
    are counted anew."""
    need("nginx")
    leaf = servers.nginx(lab, "leaf")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    if agent.hooks == "syscalls":
        pytest.skip("it has a table of connections instead")
    with Raw(leaf.port) as raw:
        assert raw.get("/leaf/x")[0] == 200
        assert 0 < maps.count_of(agent) < 10
    maps.spoil_count(agent, 4 * 16384)
    until(lambda: maps.count_of(agent) < 4 * 16384)
    for _ in range(20):
        with Raw(leaf.port) as raw:
            assert raw.get("/leaf/x")[0] == 200
    spans = agent.stop()
    assert len(spans) == 21


def test_small_tables(lab, need):
    """More connections than the table holds: forgotten ones are counted, the rest is right."""
    need("nginx")
    leaf = servers.nginx(lab, "leaf")
    agent = lab.weft(args=["--max-connections", "64"])
    raws = [Raw(leaf.port) for _ in range(200)]
    for _ in range(2):
        for raw in raws:
            assert raw.get("/leaf/x")[0] == 200
    for raw in raws:
        raw.close()
    metrics = agent.settle()
    spans = agent.stop(lossless=False, expect_log="full|lost|evict")
    right(spans)
    short = metrics.kernel("lost_map") + metrics["weft_connections_evicted_total"]
    assert short > 0
    if agent.hooks == "syscalls":  # the kernel has no more room than the agent: who has a place keeps it
        assert 100 < len(spans) <= 128
    else:  # what was forgotten is announced again with its next bytes, if those are not on their way yet
        assert 264 < len(spans) <= 400


def test_dead_backend(lab, need):
    """OTLP to a port where nobody listens: spans are dropped and counted, json goes on, nothing grows."""
    need("wrk", "nginx")
    leaf = servers.nginx(lab, "leaf")
    # both ends of a saturating load, and a reader that shares two cores with all of it
    agent = lab.weft(exporters="json,otlp", args=["--ring-bytes", "32MiB"],
                     env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"})
    done = wrk(lab, leaf.port)
    before = rss(agent)
    done += wrk(lab, leaf.port)
    after = rss(agent)
    metrics = agent.settle()
    spans = agent.stop(expect_log="otlp|export")
    right(spans)
    # at full speed json may not keep up either
    assert len([s for s in spans if s.code == 200]) + metrics.exporter("json", "dropped_total") >= done
    assert after - before < 4 << 20, f"{before} -> {after}"
    assert "otlp" in metrics.exporters()
    if SCALE == 1:  # emulated, they all still have room in the queue
        assert metrics.exporter("otlp", "dropped_total") + metrics.exporter("otlp", "failed_total") > 0


def rss(agent):
    with open(f"/proc/{agent.child.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


HOLD = """
import os, signal, socket, sys
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
for s in held:
    s.sendall(b"GET /leaf/x HTTP/1.1\\r\\nHost: t\\r\\n\\r\\n")
    s.recv(4096)
print("held", flush=True)
signal.pause()
"""


def until(what, timeout=15):
    end = time.monotonic() + patience(timeout)
    while not what():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.1)


@pytest.mark.core
def test_ends_while_the_ring_is_full(lab, hooks, need):
    """Connections and processes that end while there is no room for their records: the tables come
    back to what lives, at once, and what lives is traced on."""
    need("wrk", "nginx")
    leaf = servers.nginx(lab, "leaf")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1], args=["--ring-bytes", "64KiB"])
    with Raw(leaf.port) as kept:
        assert kept.get("/leaf/x")[0] == 200
        traced = agent.settle()["weft_processes_traced"]
        holders = []
        for i in range(4):  # one by one: the ring is small
            holders.append(lab.process(["/usr/bin/python3", "-c", HOLD, leaf.port, 50], f"hold{i}"))
            until(lambda: "held" in holders[-1].output())
            before = agent.settle()
        assert before["weft_connections"] > 200, before.text
        assert before["weft_processes_traced"] == traced + 4
        os.kill(agent.child.pid, signal.SIGSTOP)
        try:
            wrk(lab, leaf.port, seconds=1, connections=8)
            for h in holders:
                h.kill()
                h.wait()
            brief = lab.process(["/bin/sh", "-c", "for i in $(seq 40); do /bin/true; done"])
            assert brief.wait() == 0
            pause(0.2)
        finally:
            os.kill(agent.child.pid, signal.SIGCONT)
        pause(1)
        metrics = agent.settle()
        assert metrics.kernel("life_kept") >= 200, metrics.text
        # not the count of those open: a stopped agent has decided on nobody, so that others' are among them
        closed = metrics["weft_connections_closed_total"] - before["weft_connections_closed_total"]
        assert closed >= min(400, before["weft_connections"] - 1), metrics.text
        assert metrics["weft_processes_traced"] == traced, metrics.text
        assert kept.get("/leaf/x")[0] == 200
        spans = agent.stop(lossless=False, expect_log="lost|dropped|full")
    right(spans)
    books.check(metrics, lossless=False)


def test_more_ends_than_are_kept(lab, hooks, need):
    """So many ends that even the room beside the ring is used up: processes that are gone are found by
    looking, and nothing of one that lives is forgotten."""
    need("wrk", "nginx")
    leaf = servers.nginx(lab, "leaf")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1],
                     args=["--ring-bytes", "64KiB", "--max-connections", "256", "--max-processes", "64"])
    traced = agent.settle()["weft_processes_traced"]
    # both ends of 110 connections, and of wrk's, fit into the table; what tells of their end is several times that
    holders = [lab.process(["/usr/bin/python3", "-c", HOLD, leaf.port, 11], f"hold{i}") for i in range(10)]
    until(lambda: all("held" in h.output() for h in holders))
    os.kill(agent.child.pid, signal.SIGSTOP)
    try:
        wrk(lab, leaf.port, seconds=1, connections=8)
        for h in holders:
            h.kill()
            h.wait()
        pause(0.2)
    finally:
        os.kill(agent.child.pid, signal.SIGCONT)
    until(lambda: agent.metrics()["weft_processes_traced"] == traced)
    metrics = agent.settle()
    assert metrics.kernel("life_lost") > 0, metrics.text
    assert metrics["weft_processes_ended_unseen_total"] > 0, metrics.text
    with Raw(leaf.port) as raw:
        assert raw.get("/leaf/x")[0] == 200
    spans = agent.stop(lossless=False, expect_log="lost|dropped|full|evict")
    right(spans)
