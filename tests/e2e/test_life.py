# SPDX-License-Identifier: Apache-2.0
"""Processes and connections that come and go, what is selected, and how the agent ends."""
import os
import signal
import socket
import threading
import time

import pytest
from weftlib import servers
from weftlib.cgroup import Cgroup
from weftlib.clock import patience, pause
from weftlib.http import Raw, get
from weftlib.proc import free_port
from weftlib.spans import check_sane, client, expect, expect_counts, server


@pytest.mark.core
def test_older_connection(lab, hooks, need):
    """Connections from before the agent: traced from their next request, the roles known."""
    need("nginx")
    leaf = servers.nginx(lab, "leaf")
    front = servers.nginx_proxy(lab, "front", leaf.port, keepalive=1)
    with Raw(front.port) as raw:
        assert raw.get("/leaf/before")[0] == 200
        agent = lab.weft(hooks=hooks[0], transport=hooks[1])
        for c in "ab":
            assert raw.get(f"/leaf/{c}")[0] == 200
        spans = agent.stop()
    expect(spans, [server("front", f"GET /leaf/{c}", 200, client(
        "front", f"GET /leaf/{c}", 200, server("leaf", f"GET /leaf/{c}", link="socket"))) for c in "ab"])


def test_agent_starts_inside_a_reply(lab, need):
    """A reply that began before the agent is no span; the next exchange is."""
    need("nginx")
    slow = servers.nginx_static(lab, "slow")
    with open(slow.root / "large", "wb") as f:
        f.truncate(64 << 20)  # more than both sockets' buffers hold: the server waits until it is read
    with Raw(slow.port) as raw:
        raw.send(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n")
        raw.more()
        agent = lab.weft()
        assert raw.reply()[0] == 200
        assert raw.get("/none")[0] == 404
    expect(agent.stop(), [server("slow", "GET /none", 404)])


@pytest.mark.core
def test_first_request_of_a_new_server(traced, need):
    """A server that starts after the agent is traced from its first request."""
    need("nginx")
    for i in range(3):
        leaf = servers.nginx(traced, f"leaf{i}")
        assert get(leaf.port, "/leaf/first")[0] == 200
        leaf.stop()
    expect(traced.agent.stop(), [server(f"leaf{i}", "GET /leaf/first") for i in range(3)])


FORKS = """
import os, socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(16)
while True:
    conn, _ = listener.accept()
    if os.fork() == 0:
        conn.recv(4096)
        conn.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
        conn.close()
        os._exit(0)
    conn.close()
    os.waitpid(-1, os.WNOHANG)
"""


@pytest.mark.core
def test_process_a_connection(traced):
    """A new process for every connection."""
    port = free_port()
    traced.process(["/usr/bin/python3", "-c", FORKS], "forks", env={"PORT": str(port)}).wait_port(port)
    for i in range(20):
        assert get(port, f"/n{chr(97 + i)}")[0] == 200
    spans = traced.agent.stop()
    expect(spans, [server("forks", f"GET /n{chr(97 + i)}") for i in range(20)])
    assert len({s.pid for s in spans}) == 20


def test_exec_keeps_the_socket(traced):
    """A process reads a request, then becomes another program, which replies."""
    port = free_port()
    code = f"""
import os, socket
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", {port}))
listener.listen(1)
conn, _ = listener.accept()
conn.recv(4096)
os.dup2(conn.fileno(), 1)
os.execv("/usr/bin/printf", ["printf", "HTTP/1.1 200 OK\\\\r\\\\nContent-Length: 2\\\\r\\\\n\\\\r\\\\nok"])
"""
    traced.process(["/bin/sh", "-c", 'exec /usr/bin/python3 -c "$CODE" >/dev/null'], "exec",
                   env={"CODE": code}).wait_port(port)
    assert get(port, "/x")[0] == 200
    expect(traced.agent.stop(), [server("exec", "GET /x")])


@pytest.mark.core
def test_killed_inside_a_reply(traced, need):
    """kill -9 with half of the reply sent: both ends have a span that says so."""
    need("curl")
    port = free_port()
    code = f"""
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", {port}))
s.listen(1)
c, _ = s.accept()
c.recv(4096)
c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 100\\r\\n\\r\\nhalf")
time.sleep(60)
"""
    victim = traced.process(["/usr/bin/python3", "-c", code], "victim")
    victim.wait_port(port)
    curl = traced.process(["curl", "-s", f"http://127.0.0.1:{port}/x"], "curl", brief=True)
    pause(0.5)
    victim.kill(signal.SIGKILL)
    assert curl.wait(10) == 18
    expect(traced.agent.stop(), [client(
        "curl", "GET /x", 200, server("victim", "GET /x", 200, error="aborted"), error="connection_closed")])


def test_children_follow(lab, need):
    """Selected by pid: its children, and theirs, belong to it."""
    need("nginx")
    port = free_port()
    go, tell = os.pipe()
    shell = lab.process(["/bin/sh", "-c", "read go; /bin/sh -c '/usr/bin/python3 -c \"$CODE\"; true'; true"], "child",
                        env={"CODE": FORKS, "PORT": str(port)}, stdin=go)
    os.close(go)
    agent = lab.weft(include=[f"pid={shell.pid}"])
    os.write(tell, b"go\n")
    os.close(tell)
    shell.wait_port(port)
    assert get(port, "/x")[0] == 200
    expect(agent.stop(), [server("child", "GET /x")])


def two(lab):
    return servers.nginx(lab, "one"), servers.nginx(lab, "two")


def ask(*running):
    for it in running:
        assert get(it.port, "/leaf/x")[0] == 200


@pytest.mark.parametrize("rule", ["pid", "port"])
def test_select_one(lab, need, rule):
    need("nginx")
    one, two_ = two(lab)
    agent = lab.weft(include=[f"pid={one.pid}" if rule == "pid" else f"port={one.port}"])
    ask(one, two_)
    expect(agent.stop(), [server("one", "GET /leaf/x")])


def test_select_by_port_before_it_listens(lab, need):
    need("nginx")
    port = free_port()
    agent = lab.weft(include=[f"port={port}"])
    one = servers.nginx(lab, "one", port=port)
    ask(one, servers.nginx(lab, "two"))
    expect(agent.stop(), [server("one", "GET /leaf/x")])


@pytest.mark.parametrize("rule", ["exe=curl", "exe=/usr/bin/cur*"])
def test_select_by_exe(lab, need, rule):
    need("nginx", "curl")
    leaf = servers.nginx(lab, "leaf")
    agent = lab.weft(include=[rule])
    assert lab.curl(f"http://127.0.0.1:{leaf.port}/leaf/x")[0] == 0
    expect(agent.stop(), [client("curl", "GET /leaf/x")])


def test_select_by_cgroup_with_exclude(lab, need):
    need("nginx")
    inner, outer = Cgroup("inner", lab.cgroup), Cgroup("outer", lab.cgroup)
    one = servers.nginx(lab, "one", cgroup=inner)
    two_ = servers.nginx(lab, "two", cgroup=outer)
    agent = lab.weft(args=["--exclude", f"cgroup={outer.path}"])
    ask(one, two_)
    expect(agent.stop(), [server("one", "GET /leaf/x")])


def test_not_itself(lab, need):
    """The agent's own endpoint is no server to trace, even inside a selected group."""
    need("curl")
    agent = lab.weft(cgroup=lab.cgroup)
    for path in ("healthz", "readyz", "metrics"):
        assert lab.curl(f"http://127.0.0.1:{agent.port}/{path}")[0] == 0
    expect(agent.stop(), [client("curl", f"GET /{p}") for p in ("healthz", "readyz", "metrics")])


def test_health_behind_silent_connections(lab):
    """Hundreds of connections to the endpoint that never ask: a probe is answered all the same."""
    agent = lab.weft()
    silent = [socket.create_connection(("127.0.0.1", agent.port)) for _ in range(300)]
    for s in silent[::2]:
        s.sendall(b"GET /healthz HT")
    for path in ("/healthz", "/readyz", "/metrics"):
        begun = time.monotonic()
        assert agent.get(path)[0] == 200
        assert time.monotonic() - begun < patience(1), path
    for s in silent:
        s.close()
    agent.stop()


def test_reload_under_load(lab, need, tmp_path):
    """SIGHUP takes a second server in while the first is busy: no span of the first is lost."""
    need("nginx")
    one, two_ = two(lab)
    config = tmp_path / "weft.yaml"
    config.write_text(f"select:\n  include: [port={one.port}]\n")
    agent = lab.weft(include=[], args=["--config", config])
    stop, done = threading.Event(), [0]

    def load():
        with Raw(one.port) as raw:
            while not stop.is_set():
                assert raw.get("/leaf/load")[0] == 200
                done[0] += 1

    threads = [threading.Thread(target=load) for _ in range(2)]
    for t in threads:
        t.start()
    ask(two_)
    config.write_text(f"select:\n  include: [port={one.port}, port={two_.port}]\n")
    agent.reload()
    pause(1)
    for _ in range(5):
        ask(two_)
    stop.set()
    for t in threads:
        t.join()
    spans = agent.stop()
    check_sane(spans)
    assert sum(s.service == "one" for s in spans) == done[0]
    assert sum(s.service == "two" for s in spans) == 5


def test_bad_reload_changes_nothing(lab, need, tmp_path):
    need("nginx")
    one, two_ = two(lab)
    config = tmp_path / "weft.yaml"
    config.write_text(f"select:\n  include: [port={one.port}]\n")
    agent = lab.weft(include=[], args=["--config", config])
    config.write_text("select:\n  inclde: [port=1]\n")
    agent.reload()
    pause(0.5)
    ask(one, two_)
    spans = agent.stop(expect_log="reload|inclde|configuration")
    expect(spans, [server("one", "GET /leaf/x")])
    assert "inclde" in agent.log()


def test_reload_to_no_rule(lab, need, tmp_path):
    """Clients of this host, which the rules did not ask for, are found from then on."""
    need("nginx", "curl")
    leaf = servers.nginx(lab, "leaf")
    config = tmp_path / "weft.yaml"
    config.write_text(f"select:\n  include: [port={leaf.port}]\n")
    agent = lab.weft(include=[], args=["--config", config])
    config.write_text("log:\n  level: info\n")
    agent.reload()
    pause(0.5)
    assert lab.curl(f"http://127.0.0.1:{leaf.port}/leaf/x", traced=False)[0] == 0
    spans = [s for s in agent.stop(check=False) if s.service in ("leaf", "curl")]
    expect(spans, [client("curl", "GET /leaf/x", 200, server("leaf", "GET /leaf/x"))])


def test_reload_keeps_orphans(lab, need):
    """A process whose traced parent is gone stays traced if the rules stay what they are."""
    port = free_port()
    go, tell = os.pipe()
    shell = lab.process(["/bin/sh", "-c", "read go; /usr/bin/python3 -c \"$CODE\" & read end"], "orphan",
                        env={"CODE": FORKS, "PORT": str(port)}, stdin=go)
    os.close(go)
    agent = lab.weft(include=[f"pid={shell.pid}"])
    os.write(tell, b"go\n")
    shell.wait_port(port)
    os.write(tell, b"end\n")
    os.close(tell)
    shell.wait(10)
    agent.reload()
    pause(0.5)
    assert get(port, "/x")[0] == 200
    expect(agent.stop(), [server("orphan", "GET /x")])


@pytest.mark.core
def test_lost_announcement(lab, hooks, need):
    """A server that starts while the buffer is full is found a little later."""
    need("nginx", "wrk")
    port = free_port()
    busy = servers.nginx(lab, "busy")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1], include=[f"port={busy.port}", f"port={port}"],
                     args=["--ring-bytes", "64KiB"])
    os.kill(agent.child.pid, signal.SIGSTOP)
    load = lab.process(["wrk", "-t1", "-c64", "-d2s", f"http://127.0.0.1:{busy.port}/leaf/x"], traced=False)
    pause(0.5)
    late = servers.nginx(lab, "late", port=port)
    load.wait(20)
    os.kill(agent.child.pid, signal.SIGCONT)
    pause(2.5)
    ask(late)
    spans = agent.stop(lossless=False, expect_log="lost|dropped|full")
    assert [s.path for s in spans if s.service == "late"] == ["/leaf/x"]


def test_drain(lab, need):
    """SIGTERM right behind the last reply: what was seen is exported."""
    need("nginx")
    leaf = servers.nginx(lab, "leaf")
    agent = lab.weft()
    with Raw(leaf.port) as raw:
        for _ in range(500):
            raw.get("/leaf/x")
        spans = agent.stop(check=False)
    expect_counts(spans, [(server("leaf", "GET /leaf/x"), 500)])


def test_open_request_at_the_end(lab):
    """A request without a reply when the agent ends is a span that says it is incomplete."""
    port = free_port()
    code = f"""
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", {port}))
s.listen(1)
c, _ = s.accept()
c.recv(4096)
time.sleep(60)
"""
    lab.process(["/usr/bin/python3", "-c", code], "slow").wait_port(port)
    agent = lab.weft()
    with Raw(port) as raw:
        raw.send(b"GET /x HTTP/1.1\r\nHost: t\r\n\r\n")
        pause(0.3)
        spans = agent.stop()
    expect(spans, [server("slow", "GET /x", 0, weft__incomplete="shutdown")])


PATIENT = """
import http.client, sys, time
conn = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for _ in range(300):
    conn.request("GET", "/leaf/x")
    conn.getresponse().read()
    time.sleep(0.003)
"""


@pytest.mark.core
def test_undecided_then_no(lab, hooks, need):
    """A process outside the selection that runs while the agent is late to decide on it, and on:
    what was recorded of it meanwhile is no span, nor is what follows."""
    need("nginx")
    leaf = servers.nginx(lab, "leaf")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    os.kill(agent.child.pid, signal.SIGSTOP)
    outside = lab.process(["/usr/bin/python3", "-c", PATIENT, leaf.port], "outside", traced=False)
    pause(0.6)
    os.kill(agent.child.pid, signal.SIGCONT)
    assert outside.wait(20) == 0, outside.output()
    expect_counts(agent.stop(), [(server("leaf", "GET /leaf/x"), 300)])


@pytest.mark.core
def test_short_lives_take_no_room(lab, hooks, need):
    """Processes that end before the agent has decided on them leave nothing in its tables."""
    need("curl", "nginx")
    leaf = servers.nginx(lab, "leaf")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1], args=["--max-processes", "64"])
    for _ in range(5):
        os.kill(agent.child.pid, signal.SIGSTOP)
        many = lab.process(["/bin/sh", "-c", "for i in $(seq 30); do /bin/true; done"], "many")
        assert many.wait(20) == 0
        os.kill(agent.child.pid, signal.SIGCONT)
        pause(0.2)
    assert lab.curl(f"http://127.0.0.1:{leaf.port}/leaf/x")[0] == 0
    expect(agent.stop(), [client("curl", "GET /leaf/x", 200, server("leaf", "GET /leaf/x"))])


AGAIN = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None)
s = socket.socket()
for path in ("/leaf/a", "/leaf/b"):
    s.connect(("127.0.0.1", int(sys.argv[1])))
    s.sendall(f"GET {path} HTTP/1.1\\r\\nHost: t\\r\\n\\r\\n".encode())
    s.recv(4096)
    assert libc.connect(s.fileno(), bytes(16), 16) == 0  # AF_UNSPEC
"""


@pytest.mark.core
def test_socket_connected_again(traced, need):
    need("nginx")
    leaf = servers.nginx(traced, "leaf")
    process = traced.process(["/usr/bin/python3", "-c", AGAIN, leaf.port], "again", brief=True)
    assert process.wait(10) == 0, process.output()
    metrics = traced.agent.settle()
    assert metrics["weft_connections"] <= 1, metrics.text
    expect(traced.agent.stop(), [client("again", f"GET /leaf/{c}", 200, server("leaf", f"GET /leaf/{c}")) for c in "ab"])


@pytest.mark.core
def test_more_connections_than_the_kernel_keeps(lab, hooks, need):
    """What has no room in the kernel is a counted loss; what ends makes room again."""
    need("nginx")
    most, more = 64, 16
    lab.agent = lab.weft(hooks=hooks[0], transport=hooks[1], args=["--max-connections", str(most)])
    leaf = servers.nginx(lab, "leaf")
    # a table of that size, or sockets' own storage, which costs so much less
    room = most if hooks[0] == "syscalls" else 4 * most
    raws = [Raw(leaf.port) for _ in range(room + more)]
    for raw in raws:
        assert raw.get("/leaf/x")[0] == 200
    lost = lab.agent.settle().kernel("lost_map")
    # a receive and a send of each; a hash keeps a few places back for each CPU
    assert 2 * more <= lost <= 4 * more and lost % 2 == 0
    for raw in raws:
        raw.close()
    end = time.monotonic() + patience(10)
    while lab.agent.metrics()["weft_connections"]:
        assert time.monotonic() < end, "their ends are not seen"
        time.sleep(0.05)
    raws = [Raw(leaf.port) for _ in range(most // 2)]
    for raw in raws:
        assert raw.get("/leaf/x")[0] == 200
    assert lab.agent.settle().kernel("lost_map") == lost
    for raw in raws:
        raw.close()
    expect_counts(lab.agent.stop(lossless=False), [
        (server("leaf", "GET /leaf/x"), room + more - lost // 2 + most // 2)])
