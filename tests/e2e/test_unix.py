# SPDX-License-Identifier: Apache-2.0
"""Unix stream sockets, as between the containers of a pod, are traced like TCP."""
import os
import signal
import socket
import subprocess

import pytest
from test_syscalls import rounds, run
from weftlib import servers
from weftlib.clock import pause
from weftlib.http import Raw, request
from weftlib.spans import client, expect, expect_counts, server

SENDS = ["write", "writev", "pwritev2", "sendto", "sendmsg", "sendmmsg1", "sendfile", "bytes"]
RECVS = ["read", "readv", "preadv2", "recvfrom", "recvmsg", "recvmmsg1", "peek", "waitall", "splice", "bytes"]
PAIRS = [(s, "read") for s in SENDS] + [("write", r) for r in RECVS[1:]] + [("writev", "readv"), ("sendmsg", "recvmsg")]


class UnixRaw(Raw):
    """A client of a Unix socket that sends what it is told to."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(str(path))
        self.buf = b""


def unix_get(path, target):
    with UnixRaw(path) as raw:
        return raw.get(target)


def nginx_unix(lab, name, server=servers.LEAF):
    """nginx that listens on a Unix socket as well; .path."""
    path = lab.dir("socket") / "s"
    it = servers.nginx(lab, name, server, v6=f"unix:{path}")
    it.path = path
    return it


def play(lab):
    for send, recv in PAIRS:
        run(lab, send, recv, "unix", name=f"sys:{send}-{recv}")


@pytest.mark.core
@pytest.mark.parametrize("send,recv", PAIRS, ids=["-".join(p) for p in PAIRS])
def test_exact(batch, hooks, send, recv):
    spans = batch[0].get(f"{send}-{recv}", [])
    if recv == "splice" and hooks[0] == "sock":  # a splice out of a socket is not seen, and its bytes have no numbers
        assert {s.path for s in spans} <= {"/call/ra", "/call/rb", "/call/rc"}, spans
        return
    expect(spans, rounds(f"sys:{send}-{recv}"))
    for s in spans:
        assert s.attrs.get("http.request.body.size") == s.attrs.get("http.response.body.size") == 3000, s.attrs
        assert s.attrs["network.transport"] == "unix", s.attrs
        place = "network.local.address" if s.kind == "server" else "network.peer.address"
        assert s.attrs[place].startswith("@") and "network.peer.port" not in s.attrs, s.attrs
        assert s.attrs["server.address"] == "syscalls" and "server.port" not in s.attrs or s.kind == "server", s.attrs


@pytest.mark.core
@pytest.mark.parametrize("story", ["fin", "half"])
def test_ends(traced, story):
    run(traced, "write", "read", f"unix-{story}")
    if story == "fin" and traced.agent.hooks != "fentry":
        # that its own end closed is not seen at the server's, where the reply has no other end
        metrics = traced.agent.settle()
        assert metrics["weft_connections"] <= 1, metrics.text
        expect(traced.agent.stop(), [client("sys", "POST /call/ra", 200, server(
            "sys", "POST /call/ra", 200, weft__incomplete="shutdown"))] if metrics["weft_connections"] else rounds("sys", 1))
        return
    expect(traced.agent.stop(), rounds("sys", 1))


@pytest.mark.core
def test_reset(traced):
    """The server closes with bytes unread."""
    run(traced, "write", "read", "unix-reset")
    expect(traced.agent.stop(), [client("sys", "POST /call/ra", 0, error="connection_reset")])


@pytest.mark.core
@pytest.mark.parametrize("keepalive", [0, 2])
def test_behind_nginx(traced, need, keepalive):
    """nginx to an application over a socket in a shared folder; curl straight to it."""
    need("nginx", "curl")
    leaf = nginx_unix(traced, "leaf")
    front = servers.nginx_proxy(traced, "front", leaf.path, keepalive=keepalive)
    for c in "abc":
        status, _ = traced.curl(f"http://127.0.0.1:{front.port}/leaf/{c}", name=f"curl-{c}")
        assert status == 0
    status, _ = traced.curl("--unix-socket", leaf.path, "http://app/leaf/d", name="curl-d")
    assert status == 0
    spans = traced.agent.stop()
    expect(spans, [client(f"curl-{c}", f"GET /leaf/{c}", 200, server("front", f"GET /leaf/{c}", 200, client(
        "front", f"GET /leaf/{c}", 200, server("leaf", f"GET /leaf/{c}", link="socket"), link="forward")))
        for c in "abc"] + [client("curl-d", "GET /leaf/d", 200, server("leaf", "GET /leaf/d", link="socket"))])
    last = next(s for s in spans if s.service == "curl-d")
    assert last.attrs["network.peer.address"] == str(leaf.path) and last.attrs["url.full"] == "http://app/leaf/d"


APP = """
import os, socketserver, http.client, http.server, socket
class Conn(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["BACK"])
class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        back = Conn("back")
        back.request("GET", "/leaf/of" + self.path)
        body = back.getresponse().read()
        back.close()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self): return "unix"
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 64
server = Server(os.environ["LISTEN"], App)
os.chmod(os.environ["LISTEN"], 0o666)
server.serve_forever()
"""


@pytest.mark.core
def test_application(traced, need):
    """A thread-per-connection application, its caller and what it calls, all over Unix sockets, eight at once."""
    need("nginx")
    leaf = nginx_unix(traced, "leaf")
    listen = traced.dir("app") / "s"
    traced.process(["/usr/bin/python3", "-c", APP], "app", env={"BACK": str(leaf.path), "LISTEN": str(listen)}
                   ).wait_path(listen)
    front = servers.nginx_proxy(traced, "front", listen)
    names = [f"/{c}" for c in "abcdefgh"]
    raws = [Raw(front.port) for _ in names]
    for raw, name in zip(raws, names):
        raw.send(request(name))
    for raw in raws:
        assert raw.reply()[0] == 200
        raw.close()
    expect(traced.agent.stop(), [server("front", f"GET {n}", 200, client("front", f"GET {n}", 200, server(
        "app", f"GET {n}", 200, client("app", f"GET /leaf/of{n}", 200, server("leaf", f"GET /leaf/of{n}"),
                                       link="thread"), link="socket"))) for n in names])


@pytest.mark.core
def test_older_connection(lab, hooks, need):
    """From before the agent: nothing is believed until an exchange fits; then all of it."""
    need("nginx")
    leaf = nginx_unix(lab, "leaf")
    with UnixRaw(leaf.path) as raw:
        raw.send(request("/leaf/before"))
        raw.reply()
        agent = lab.weft(hooks=hooks[0], transport=hooks[1])
        for c in "abc":
            assert raw.get(f"/leaf/{c}")[0] == 200
    spans = agent.stop()
    expect([s for s in spans if s.path != "/leaf/a"], [server("leaf", f"GET /leaf/{c}") for c in "bc"])
    expect([s for s in spans if s.path == "/leaf/a"], [server("leaf", "GET /leaf/a")] * (len(spans) - 2))


def test_starts_inside_a_body(lab, need):
    """The agent starts while a body full of requests is under way: none of them is a span."""
    need("nginx")
    leaf = nginx_unix(lab, "leaf", 'location /up { client_max_body_size 1g; proxy_pass http://127.0.0.1:9; }'
                                   + servers.LEAF)
    evil = b"GET /evil HTTP/1.1\r\nHost: t\r\n\r\n"
    with UnixRaw(leaf.path) as raw:
        raw.send(f"POST /up HTTP/1.1\r\nHost: t\r\nContent-Length: {len(evil) * 200}\r\n\r\n".encode())
        raw.send(evil)
        pause(0.2)
        agent = lab.weft()
        for _ in range(199):
            raw.send(evil)
        assert raw.reply()[0] == 502
        for c in "ab":
            assert raw.get(f"/leaf/{c}")[0] == 200
    spans = agent.stop()
    assert not [s for s in spans if s.path == "/evil"], spans
    assert [s.path for s in spans if s.kind == "server"] == ["/leaf/a", "/leaf/b"], spans


@pytest.mark.core
def test_many_short_ones(traced, need):
    """Hundreds of connections: each its span, and nothing left behind of those whose end is seen."""
    need("nginx")
    leaf = nginx_unix(traced, "leaf")
    front = servers.nginx_proxy(traced, "front", leaf.path)
    with Raw(front.port) as raw:
        for _ in range(400):
            assert raw.get("/leaf/x")[0] == 200
    metrics = traced.agent.settle()
    if traced.agent.hooks == "fentry":
        assert metrics["weft_connections"] == 0, metrics.text
    expect_counts(traced.agent.stop(), [(server("front", "GET /leaf/x", 200, client(
        "front", "GET /leaf/x", 200, server("leaf", "GET /leaf/x"))), 400)])


def test_across_network_namespaces(traced, need):
    """A socket in a folder that two pods share: the two ends are matched all the same."""
    need("nginx", "curl")
    leaf = nginx_unix(traced, "leaf")
    ns = f"weft-unix-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", ns], check=True)
    try:
        curl = traced.process(["ip", "netns", "exec", ns, "curl", "-s", "--unix-socket", leaf.path,
                               "http://app/leaf/x"], "curl", brief=True)
        assert curl.wait(10) == 0
    finally:
        subprocess.run(["ip", "netns", "del", ns], check=True)
    expect(traced.agent.stop(), [client("curl", "GET /leaf/x", 200, server("leaf", "GET /leaf/x", link="socket"))])


def test_other_streams(traced):
    """What is no HTTP, a pair of sockets, datagrams: nothing, and no harm."""
    code = """
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    for _ in range(20):
        a.send(b"hello there")
        b.recv(100)
        b.send(b"general")
        a.recv(100)
"""
    process = traced.process(["/usr/bin/python3", "-c", code], "py")
    assert process.wait(10) == 0, process.output()
    expect(traced.agent.stop(), [])


@pytest.mark.core
def test_server_killed(traced, need):
    """kill -9 with half of the reply sent."""
    need("curl")
    path = traced.dir("socket") / "s"
    code = f"""
import socket, time
s = socket.socket(socket.AF_UNIX)
s.bind({str(path)!r})
s.listen(1)
c, _ = s.accept()
c.recv(4096)
c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 100\\r\\n\\r\\nhalf")
time.sleep(60)
"""
    victim = traced.process(["/usr/bin/python3", "-c", code], "victim")
    victim.wait_path(path)
    curl = traced.process(["curl", "-s", "--unix-socket", path, "http://app/x"], "curl", brief=True)
    pause(0.5)
    victim.kill(signal.SIGKILL)
    assert curl.wait(10) == 18
    spans = traced.agent.stop()
    # without a hook on its release the server's end tells nothing
    end = {"error": "aborted"} if traced.agent.hooks == "fentry" else {"weft__incomplete": "shutdown"}
    expect(spans, [client("curl", "GET /x", 200, server("victim", "GET /x", 200, **end), error="connection_closed")])


