# SPDX-License-Identifier: Apache-2.0
"""The budget: too much traffic sheds whole connections, visibly, and they come back by themselves."""
import re
import time

import pytest

from weftlib import servers
from weftlib.http import Raw
from weftlib.clock import SCALE, patience
from weftlib.spans import client, expect, server

LEFT_OUT = "over budget: connections are left out"
BACK = "within budget: every connection is recorded again"
CONNECTIONS = 64


def flood(traced, leaf, seconds):
    wrk = traced.process(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"http://127.0.0.1:{leaf.port}/leaf/x"],
                         "wrk")
    assert wrk.wait(patience(seconds + 20)) == 0


def wait_log(agent, text, seconds=15):
    end = time.monotonic() + patience(seconds)
    while text not in agent.log():
        assert time.monotonic() < end, f"{text!r} is not in the log:\n{agent.log()[-2000:]}"
        time.sleep(0.1)


@pytest.mark.parametrize("limit", [["--events-per-second", f"{3000 / SCALE:.0f}"], ["--cpu-limit", "0.1"]],
                         ids=["events", "cpu"])
def test_sheds_and_recovers(lab, hooks, need, limit):
    """Far over budget, connections are left out on both ends alike; what is left is whole, the books balance,
    and when the load ends a new request is seen again."""
    need("wrk")
    lab.agent = lab.weft(hooks=hooks[0], transport=hooks[1], args=limit + ["--queue-bytes", "512MiB"])
    leaf = servers.nginx(lab, "leaf")
    flood(lab, leaf, 4)
    wait_log(lab.agent, LEFT_OUT)
    wait_log(lab.agent, BACK, 40)
    metrics = lab.agent.settle()
    assert metrics.kernel("shed") > 1000, "calls"
    assert CONNECTIONS / 2 < metrics["weft_shed_total"], "connections left out, of both ends"
    with Raw(leaf.port) as raw:
        raw.send(b"GET /leaf/after HTTP/1.1\r\nHost: t\r\n\r\n")
        assert raw.reply()[0] == 200
    spans = lab.agent.stop(expect_log=LEFT_OUT)
    expect([s for s in spans if s.path == "/leaf/after"], [server("leaf", "GET /leaf/after")])
    flooded = [s for s in spans if s.path == "/leaf/x"]
    called = {s.id: s for s in flooded if s.kind == "client"}
    said = [s for s in flooded if "weft.shed_percent" in s.attrs]
    assert said and all(1 <= s.attrs["weft.shed_percent"] <= 100 for s in said)
    # both ends of a connection stay or go together, so that only what was under way when one went is alone
    served = [s for s in flooded if s.kind == "server" and s.code == 200]
    alone = [s for s in served if s.parent not in called]
    assert len(alone) <= 4 * CONNECTIONS, f"{len(alone)} of {len(served)} without their client's end"
    assert not [s for s in served if s.parent in called and s.attrs["network.peer.port"] !=
                called[s.parent].attrs.get("network.local.port", s.attrs["network.peer.port"])]


def test_without_a_limit_nothing_is_left_out(traced, need):
    need("wrk")
    leaf = servers.nginx(traced, "leaf")
    flood(traced, leaf, 1)
    metrics = traced.agent.settle()
    assert metrics.kernel("shed") == metrics["weft_shed_total"] == 0
    assert not re.search("budget", traced.agent.log())
    traced.agent.stop(check=False, expect_log="spans dropped")  # at full speed the exporter may not keep up


def test_within_the_limit_nothing_is_left_out(lab):
    lab.agent = lab.weft(args=["--events-per-second", "1000", "--cpu-limit", "0.9"])
    leaf = servers.nginx(lab, "leaf")
    for _ in range(3):
        assert lab.curl(f"http://127.0.0.1:{leaf.port}/leaf/x")[0] == 0
    time.sleep(2.5)
    spans = lab.agent.stop()
    expect(spans, 3 * [client("curl", "GET /leaf/x", 200, server("leaf", "GET /leaf/x", link="socket"))])
    assert not [s for s in spans if "weft.shed_percent" in s.attrs]
