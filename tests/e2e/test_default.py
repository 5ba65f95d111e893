# SPDX-License-Identifier: Apache-2.0
"""No rule: every process with a TCP listener, and its clients on this host. That is the whole machine, so
these run in a guest only. The processes that matter here are outside any group of the laboratory's."""
import os
import re
import time

import pytest
from weftlib import servers
from weftlib.clock import patience, pause
from weftlib.http import Raw, get
from weftlib.proc import free_port
from weftlib.spans import client, expect, server

pytestmark = pytest.mark.guest_only


def everything(lab, hooks, *args):
    lab.brief[os.getpid()] = "test"  # a client of this host like any other
    return lab.weft(include=[], hooks=hooks[0], transport=hooks[1], args=["--log-level", "debug", *args])


def ours(agent, *services):
    """The spans of the processes that the test started, and its own; a machine has others. Not those of its
    questions to the agent."""
    return [s for s in agent.stop(check=False) if s.service in services
            or s.service == "test" and s.attrs.get("server.port") != agent.port]


def traced_pids(agent):
    return {int(pid) for pid in re.findall(r'msg="process is traced" pid=(\d+)', agent.log())}


def settle(agent, pid):
    end = time.monotonic() + patience(10)
    while pid not in traced_pids(agent):
        assert time.monotonic() < end, f"{pid} is not traced:\n{agent.log()[-2000:]}"
        time.sleep(0.05)


CLIENT = """
import http.client, sys
conn = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for path in ("/leaf/a", "/leaf/b"):
    conn.request("GET", path)
    conn.getresponse().read()
    print("done", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.core
def test_servers_and_their_clients(lab, hooks, need):
    """Servers from before the agent and after it; a client that is young, and one whose connection is
    older than the agent. Who neither listens nor calls is left alone."""
    need("nginx", "curl")
    leaf = servers.nginx(lab, "leaf", traced=False)
    go, tell = os.pipe()
    older = lab.process(["/usr/bin/python3", "-c", CLIENT, leaf.port], "older", traced=False, stdin=go)
    os.close(go)
    end = time.monotonic() + patience(10)
    while "done" not in older.output() and time.monotonic() < end:
        time.sleep(0.02)
    bystander = lab.process(["/bin/sleep", "1000"], "bystander", traced=False)
    agent = everything(lab, hooks)
    os.write(tell, b"go\n")
    pause(1)
    os.write(tell, b"end\n")
    os.close(tell)
    assert older.wait(patience(10)) == 0, older.output()
    assert lab.curl(f"http://127.0.0.1:{leaf.port}/leaf/x", traced=False)[0] == 0
    late = servers.nginx(lab, "late", traced=False)
    assert lab.curl(f"http://127.0.0.1:{late.port}/leaf/y", name="curl2", traced=False)[0] == 0
    pids = traced_pids(agent)
    assert {leaf.pid, late.pid, older.pid} <= pids
    assert bystander.pid not in pids
    expect(ours(agent, "leaf", "late", "older", "curl", "curl2"), [
        client("older", "GET /leaf/b", 200, server("leaf", "GET /leaf/b", link="socket")),
        client("curl", "GET /leaf/x", 200, server("leaf", "GET /leaf/x", link="socket")),
        client("curl2", "GET /leaf/y", 200, server("late", "GET /leaf/y", link="socket"))])


def test_a_process_that_begins_to_listen(lab, hooks):
    """Traced from its first request, though it was nobody when the agent started."""
    port = free_port()
    code = f"""
import http.server, sys
sys.stdin.readline()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""
    go, tell = os.pipe()
    quiet = lab.process(["/usr/bin/python3", "-c", code], "quiet", traced=False, stdin=go)
    os.close(go)
    pause(1)
    agent = everything(lab, hooks)
    assert quiet.pid not in traced_pids(agent)
    os.write(tell, b"go\n")
    os.close(tell)
    quiet.wait_port(port)
    assert get(port, "/first")[0] == 200
    settle(agent, quiet.pid)
    expect(ours(agent, "quiet"), [client("test", "GET /first", 200, server("quiet", "GET /first"))])


def test_exclude_without_include(lab, hooks, need):
    """Exclude rules take from the default, and weft takes itself out."""
    need("nginx", "curl")
    one = servers.nginx(lab, "one", traced=False)
    two = servers.nginx(lab, "two", traced=False)
    agent = everything(lab, hooks, "--exclude", f"port={two.port}")
    for it in (one, two):
        with Raw(it.port) as raw:
            assert raw.get("/leaf/x")[0] == 200
    assert lab.curl(f"http://127.0.0.1:{agent.port}/healthz", traced=False)[0] == 0
    pids = traced_pids(agent)
    assert agent.child.pid not in pids and one.pid in pids and two.pid not in pids
    expect(ours(agent, "one", "two", "curl"), [
        client("test", "GET /leaf/x", 200, server("one", "GET /leaf/x")), client("test", "GET /leaf/x"),
        client("curl", "GET /healthz")])
    assert not [s for s in agent.seen if s.kind == "server" and s.path == "/healthz"]
