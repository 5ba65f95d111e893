# SPDX-License-Identifier: Apache-2.0
"""Loss, and its books: under a flood with a tiny ring, with tables that are too small, with a backend
that is dead. What is exported stays right, and every loss is counted."""
import pytest
from weftlib import books, servers
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
    lost = metrics.kernel("lost_full")
    assert lost > 0 or len(spans) >= done, (lost, len(spans), done)
    assert len(spans) <= done + 64


def test_flood_without_loss(lab, need):
    """At wrk's full speed with the default buffers nothing is lost and every request has its span."""
    need("wrk", "nginx")
    leaf = servers.nginx(lab, "leaf")
    agent = lab.weft()
    done = wrk(lab, leaf.port)
    spans = agent.stop()
    right(spans)
    assert done <= len([s for s in spans if s.code == 200]) <= done + 64


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
    # what was forgotten is announced again with its next bytes, if those are not on their way yet
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
    assert len([s for s in spans if s.code == 200]) >= done
    assert after - before < 4 << 20, f"{before} -> {after}"
    assert "otlp" in metrics.exporters()
    assert metrics.exporter("otlp", "dropped_total") + metrics.exporter("otlp", "failed_total") > 0


def rss(agent):
    with open(f"/proc/{agent.child.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
