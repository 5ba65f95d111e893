# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.x as it comes: both ends are scripted byte by byte, both are traced, and the spans of both
are exactly the exchanges that took place."""
import json

import pytest
from weftlib import paths, servers
from weftlib.clock import SCALE
from weftlib.http import Raw, request
from weftlib.proc import free_port
from weftlib.spans import client, expect, server

SAID = "TLS that is not traced"  # the case "garbage"
OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
END = "\r\n\r\n"


def get(path="/x", *headers, method="GET", version="1.1"):
    return f"{method} {path} HTTP/{version}\r\nHost: h.test\r\n" + "".join(h + "\r\n" for h in headers) + "\r\n"


class Case:
    """What both ends do, and the exchanges [(method and path, status, error at the client, error at
    the server)] that must come of it."""

    def __init__(self, cli, srv, *wants, host="127.0.0.1", listen=None, attrs=None, name=None, unequal=None):
        self.cli, self.srv, self.wants = cli, srv, wants
        self.host, self.listen = host, listen or host
        self.attrs, self.name, self.unequal = attrs or {}, name, unequal

    def forest(self, name):
        if self.unequal is not None:
            return self.unequal(f"cli:{name}", f"srv:{name}")
        wants = []
        for what, code, *errors in self.wants:
            cli_error, srv_error = (errors + [None, None])[:2]
            wants.append(client(f"cli:{name}", what, code, server(f"srv:{name}", what, code, error=srv_error),
                                error=cli_error))
        return wants


def simple(req, reply, *wants, n=None, **more):
    """One request, one reply."""
    return Case([["send", req], ["until", END], *([["take", n]] if n else [])],
                [["until", END], ["send", reply], ["eof"]], *wants, **more)


def big_head(size):
    return "GET /big HTTP/1.1\r\nHost: h.test\r\n" + "".join(
        f"X-{i:04d}: {'v' * 91}\r\n" for i in range(size // 100)) + "\r\n"


CASES = {
    "get": simple(get(), OK, ("GET /x", 200), n=2),
    "head": simple(get(method="HEAD"), "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", ("HEAD /x", 200)),
    "no-content": simple(get(), "HTTP/1.1 204 No Content\r\n\r\n", ("GET /x", 204)),
    "not-modified": simple(get(), "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ("GET /x", 304)),
    "not-found": simple(get(), "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", ("GET /x", 404), n=2),
    "error": simple(get(), "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", ("GET /x", 500), n=2),
    "no-reason": simple(get(), "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", ("GET /x", 200), n=2),
    "bare-lf": simple(get(), "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", ("GET /x", 200), n=2),
    "leading-crlf": simple("\r\n" + get(), OK, ("GET /x", 200), n=2),
    "other-method": simple(get(method="PURGE"), OK, ("_OTHER /x", 200), n=2,
                           attrs={"http.request.method_original": "PURGE"}),
    "keep-alive": Case(
        [step for i in range(5) for step in (["send", get(f"/n{'abcde'[i]}")], ["until", END], ["take", 2])],
        [step for _ in range(5) for step in (["until", END], ["send", OK])] + [["eof"]],
        *((f"GET /n{c}", 200) for c in "abcde")),
    "pipelined": Case(
        [["send", "".join(get(f"/n{c}") for c in "abcde")]] + [["until", END], ["take", 2]] * 5,
        [["until", END]] * 5 + [["send", OK * 2], ["send", OK * 3], ["eof"]],
        *((f"GET /n{c}", 200) for c in "abcde")),
    "continue": Case(
        [["send", "POST /up HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"],
         ["until", END], ["send", "abc"], ["until", END], ["take", 2]],
        [["until", END], ["send", "HTTP/1.1 100 Continue\r\n\r\n"], ["take", 3], ["send", OK], ["eof"]],
        ("POST /up", 200)),
    "early-hints": Case(
        [["send", get()], ["until", END], ["until", END], ["until", END], ["take", 2]],
        [["until", END], ["send", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"],
         ["send", "HTTP/1.1 103 Early Hints\r\n\r\n" + OK], ["eof"]],
        ("GET /x", 200)),
    "chunked": Case(
        [["send", get()], ["until", "0\r\nX-Sum: 1\r\n\r\n"], ["send", get("/y")], ["until", END], ["take", 2]],
        [["until", END], ["send", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"],
         ["send", "5;ext=\"a;b\"\r\nhello\r\n"], ["pieces", "A\r\n0123456789\r\n"], ["send", "0\r\nX-Sum: 1\r\n\r\n"],
         ["until", END], ["send", OK], ["eof"]],
        ("GET /x", 200), ("GET /y", 200)),
    "chunked-request": Case(
        [["send", "POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
         ["send", "0\r\n\r\n"], ["until", END], ["take", 2]],
        [["until", "0\r\n\r\n"], ["send", OK], ["eof"]], ("POST /up", 200)),
    "close-delimited": Case(
        [["send", get()], ["eof"]],
        [["until", END], ["send", "HTTP/1.1 200 OK\r\n\r\nhel"], ["send", "lo"]],
        ("GET /x", 200)),
    "http-1.0": Case(
        [["send", "GET /old HTTP/1.0\r\n\r\n"], ["eof"]],
        [["until", END], ["send", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"]],
        ("GET /old", 200), attrs={"network.protocol.version": "1.0"}),
    "http-1.0-keep-alive": Case(
        [["send", "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"], ["until", END], ["take", 2]] * 2,
        [["until", END], ["send", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"]] * 2
        + [["eof"]],
        ("GET /old", 200), ("GET /old", 200)),
    "websocket": Case(
        [["send", get("/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: eA==")],
         ["until", END], ["send", "\x81\x85GET \x00/ HTTP/1.1\r\n\r\n"], ["take", 4], ["shut"]],
        [["until", END], ["send", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\n\r\n"],
         ["take", 20], ["send", "\x81\x02hi"], ["send", OK], ["eof"]],
        ("GET /ws", 101)),
    "connect-tunnel": Case(
        [["send", "CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n"], ["until", END],
         ["send", get("/inside")], ["until", END], ["take", 2]],
        [["until", END], ["send", "HTTP/1.1 200 Connected\r\n\r\n"], ["until", END], ["send", OK], ["eof"]],
        unequal=lambda cli, srv: [client(cli, "CONNECT ", 200, server(srv, "CONNECT ", 200))]),
    "connect-refused": Case(
        [["send", "CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n"], ["until", END], ["take", 2],
         ["send", get()], ["until", END], ["take", 2]],
        [["until", END], ["send", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"], ["until", END],
         ["send", OK], ["eof"]],
        unequal=lambda cli, srv: [client(cli, "CONNECT ", 403, server(srv, "CONNECT ", 403)),
                                  client(cli, "GET /x", 200, server(srv, "GET /x", 200))]),
    "head-in-bytes": Case(
        [["pieces", big_head(15 * 1024)], ["until", END], ["take", 2]],
        [["until", END], ["send", OK], ["eof"]], ("GET /big", 200)),
    "head-at-once": simple(big_head(15 * 1024), OK, ("GET /big", 200), n=2),
    "reply-in-bytes": Case(
        [["send", get()], ["until", END], ["take", 2]], [["until", END], ["pieces", OK], ["eof"]],
        ("GET /x", 200)),
    "absolute-form": simple("GET http://abs.test:81/abs?q=1 HTTP/1.1\r\nHost: other\r\n\r\n", OK,
                            ("GET /abs", 200), n=2, attrs={"server.address": "abs.test", "server.port": 81}),
    "asterisk": simple("OPTIONS * HTTP/1.1\r\nHost: h.test\r\n\r\n", OK, n=2,
                       unequal=lambda cli, srv: [client(cli, "OPTIONS ", 200, server(srv, "OPTIONS *", 200))]),
    "obs-fold": simple("GET /x HTTP/1.1\r\nHost: h.test\r\nX-A: one\r\n two\r\n\tthree\r\n\r\n", OK,
                       ("GET /x", 200), n=2, attrs={"server.address": "h.test"}),
    "early-reply": Case(
        [["send", "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc"], ["until", END], ["take", 2]],
        [["until", END], ["send", "HTTP/1.1 413 Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"], ["eof"]],
        ("POST /up", 413)),
    "v6": simple(get(), OK, ("GET /x", 200), n=2, host="::1", attrs={"network.peer.address": "::1"}),
    "v4-mapped": simple(get(), OK, ("GET /x", 200), n=2, listen="::",
                        attrs={"network.peer.address": "127.0.0.1"}),
    "v4-mapped-client": simple(get(), OK, ("GET /x", 200), n=2, host="::ffff:127.0.0.1", listen="127.0.0.1",
                               attrs={"network.peer.address": "127.0.0.1"}),
    "garbage": simple("\x16\x03\x01\x02\x00\x01\x00" + "\xff" * 60 + END, "\x15\x03\x01\x00\x02\x02\x28" + END),
    "garbage-after": Case(
        [["send", get()], ["until", END], ["take", 2], ["send", "\x00\x01nonsense\r\n\r\n"], ["eof"]],
        [["until", END], ["send", OK], ["until", END]], ("GET /x", 200)),
    "nothing": Case([["sleep", 0.05]], [["eof"]]),
    # The first bytes of a direction may be the middle of something; later ones are judged.
    "no-http-reply": simple(get(), "SSH-2.0-OpenSSH_9.2\r\n\r\n", ("GET /x", 0)),
    "bad-reply": Case(
        [["send", get()], ["until", END], ["take", 2], ["send", get("/y")], ["until", END]],
        [["until", END], ["send", OK], ["until", END], ["send", "SSH-2.0-OpenSSH_9.2\r\n\r\n"], ["eof"]],
        ("GET /x", 200), ("GET /y", 0, "bad_reply", "bad_reply")),
}

# Broken at many places: the client goes away inside its request (no exchange), the server inside its reply.
REPLY = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\n" + "b" * 20
HEAD = REPLY.index(END) + 4
for at in (1, 3, 5, 9, 14, 16, 17, 30, HEAD - 1):
    CASES[f"broken-head-{at}"] = Case(
        [["send", get()], ["eof"]], [["until", END], ["send", REPLY[:at]]],
        ("GET /x", 0, "connection_closed", "aborted"))
for at in (HEAD, HEAD + 1, len(REPLY) - 1):
    CASES[f"broken-body-{at}"] = Case(
        [["send", get()], ["eof"]], [["until", END], ["send", REPLY[:at]]],
        ("GET /x", 200, "connection_closed", "aborted"))
for at in (1, 2, 3, 5, 8, 14, 17, 25, len(get()) - 1):
    CASES[f"broken-request-{at}"] = Case([["send", get()[:at]]], [["eof"]])
for at in (0, 10, HEAD + 3):
    CASES[f"reset-{at}"] = Case(
        [["send", get()], ["eof"]],
        [["until", END], *([["send", REPLY[:at]], ["sleep", 0.05]] if at else []), ["reset"]],
        ("GET /x", 200 if at >= HEAD else 0, "connection_reset", "aborted"))


def play(lab):
    """For the batch: every case, a few at a time."""
    waiting = list(CASES.items())
    running = []

    def start(name, case):
        port = free_port()
        for who, script in (("cli", case.cli), ("srv", case.srv)):
            (lab.tmp / f"{name}.{who}").write_text(json.dumps(script))
        player = ["/usr/bin/python3", paths.APPS / "player.py"]
        srv = lab.process([*player, "listen", case.listen, port, lab.tmp / f"{name}.srv"], f"srv:{name}", brief=True)
        srv.wait_port(port)
        cli = lab.process([*player, "connect", case.host, port, lab.tmp / f"{name}.cli"], f"cli:{name}", brief=True)
        return name, srv, cli

    while waiting or running:
        while waiting and len(running) < 4:
            running.append(start(*waiting.pop(0)))
        name, srv, cli = running.pop(0)
        cli.wait(30)
        srv.wait(30)


@pytest.mark.core
@pytest.mark.parametrize("name", CASES)
def test_exchange(batch, hooks, name):
    case = CASES[name]
    spans = batch[0].get(name, [])
    expect(spans, case.forest(name))
    for s in spans:
        for key, value in case.attrs.items():
            assert s.attrs.get(key) == value, (key, s.attrs)


# 2.5 GiB: further than sequence numbers can be compared. Emulated, that alone would take minutes.
LARGE = 5 << 29 if SCALE == 1 else 64 << 20


def test_large_body_by_sendfile(traced):
    """A large file from nginx, twice on one connection: each span ends with the last byte, the body is not
    copied to the agent, and most of its calls leave no record."""
    leaf = servers.nginx_static(traced, "files")
    with open(leaf.root / "large", "wb") as f:
        f.truncate(LARGE)
    before = traced.agent.metrics()
    url = f"http://127.0.0.1:{leaf.port}/large"
    status, _ = traced.curl(url, "-o", "/dev/null", url)
    assert status == 0
    after = traced.agent.settle()
    spans = traced.agent.stop()
    expect(spans, 2 * [client("curl", "GET /large", 200, server("files", "GET /large", link="socket"))])
    assert {s.attrs["http.response.body.size"] for s in spans} == {LARGE}
    copied = after["weft_record_bytes_total"] - before["weft_record_bytes_total"]
    assert copied < 4 << 20, f"{copied} bytes of records for two large bodies"
    coalesced, emitted = (after.kernel(k) - before.kernel(k) for k in ("coalesced", "emitted"))
    assert coalesced > 4 * emitted, (coalesced, emitted)


SLOW = """
import http.server, os, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        begun = time.monotonic()
        self.send_response(200)
        self.send_header("Content-Length", str(200 * 10000 + 1))
        self.end_headers()
        for i in range(200):
            self.wfile.write(b"x" * 10000)
            time.sleep(0.005)
        self.wfile.write(b"y")
        print(time.monotonic() - begun, flush=True)
        time.sleep(0.5)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"""


@pytest.mark.core
def test_slow_body(traced):
    """A body of many calls with pauses: none of them but the last is a record once the agent has said
    so, and the spans end with the last byte all the same."""
    port = free_port()
    slow = traced.process(["/usr/bin/python3", "-c", SLOW], "slow", env={"PORT": str(port)})
    slow.wait_port(port)
    url = f"http://127.0.0.1:{port}"
    before = traced.agent.metrics()
    status, body = traced.curl(f"{url}/a", "-o", traced.tmp / "second", f"{url}/b")
    assert status == 0 and len(body) == 200 * 10000 + 1
    after = traced.agent.settle()
    spans = traced.agent.stop()
    expect(spans, [client("curl", f"GET /{c}", 200, server("slow", f"GET /{c}", link="socket")) for c in "ab"])
    took = [s.end - s.start for s in sorted(spans, key=lambda s: s.start) if s.kind == "server"]
    said = [float(seconds) * 1e9 for seconds in slow.output().split()]
    assert all(-0.1e9 < span - body < 0.45e9 for span, body in zip(took, said, strict=True)), (took, said)
    assert after.kernel("coalesced") - before.kernel("coalesced") > 500, "of 800 calls"


CHUNKS = """
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(320):
            self.wfile.write(b"10000\\r\\n" + b"x" * 65536 + b"\\r\\n")
        self.wfile.write(b"0\\r\\n\\r\\n")
    def do_PUT(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"""


@pytest.mark.core
def test_large_body_in_chunks(traced):
    """20 MiB in chunks of 64 KiB, and the connection goes on behind it."""
    port = free_port()
    chunks = traced.process(["/usr/bin/python3", "-c", CHUNKS], "chunks", env={"PORT": str(port)})
    chunks.wait_port(port)
    url = f"http://127.0.0.1:{port}"
    status, body = traced.curl(f"{url}/a", "-o", traced.tmp / "second", f"{url}/b")
    assert status == 0 and len(body) == 20 << 20
    expect(traced.agent.stop(), [
        client("curl", f"GET /{c}", 200, server("chunks", f"GET /{c}", link="socket")) for c in "ab"])


def test_large_upload(traced):
    """A request body of 20 MiB with a Content-Length, through a proxy."""
    port = free_port()
    traced.process(["/usr/bin/python3", "-c", CHUNKS], "sink", env={"PORT": str(port)}).wait_port(port)
    up = servers.nginx(traced, "up", f"client_max_body_size 0; location / {{ proxy_pass http://127.0.0.1:{port}; }}")
    upload = traced.tmp / "upload"
    with open(upload, "wb") as f:
        f.truncate(20 << 20)
    status, body = traced.curl("-T", upload, f"http://127.0.0.1:{up.port}/put")
    assert status == 0 and body == b"ok"
    spans = traced.agent.stop()
    expect(spans, [client("curl", "PUT /put", 200, server("up", "PUT /put", 200, client(
        "up", "PUT /put", 200, server("sink", "PUT /put", 200)), link="socket"))])
    assert {s.attrs["http.request.body.size"] for s in spans} == {20 << 20}


def test_traceparent(traced):
    """A caller's own context is taken on, in any case and with or without the space."""
    leaf = servers.nginx(traced, "leaf")
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    value = f"00-{trace}-{parent}-01"
    for spelling in (f"traceparent: {value}", f"TraceParent:{value}", f"TRACEPARENT:  {value}  "):
        with Raw(leaf.port) as raw:
            raw.send(b"GET /leaf/x HTTP/1.1\r\nHost: t\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(50))
                     + spelling.encode() + b"\r\n\r\n")
            assert raw.reply()[0] == 200
    spans = traced.agent.stop()
    expect(spans, [server("leaf", "GET /leaf/x", remote=parent, link="header")] * 3)
    assert {s.trace for s in spans} == {trace}


@pytest.mark.parametrize("value", [
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "", "x" * 55],
    ids=["no-trace", "no-parent", "short", "ff", "empty", "letters"])
def test_bad_traceparent(traced, value):
    leaf = servers.nginx(traced, "leaf")
    with Raw(leaf.port) as raw:
        assert raw.get("/leaf/x", headers=[("traceparent", value)])[0] == 200
    expect(traced.agent.stop(), [server("leaf", "GET /leaf/x")])


def test_unsampled(traced):
    """The caller's decision is honoured."""
    leaf = servers.nginx(traced, "leaf")
    with Raw(leaf.port) as raw:
        raw.get("/leaf/x", headers=[("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")])
        raw.get("/leaf/y")
    metrics = traced.agent.settle()
    expect(traced.agent.stop(), [server("leaf", "GET /leaf/y")])
    assert metrics["weft_spans_sampled_out_total"] == 1


def test_attributes(traced):
    """Every attribute of both ends, once in full."""
    leaf = servers.nginx(traced, "leaf")
    with Raw(leaf.port) as outside:
        outside.send(request("/leaf/8731?a=b&sig=secret", host="shop.test:8080",
                             headers=[("User-Agent", "e2e/1"), ("X-Forwarded-For", "203.0.113.9, 10.0.0.1")]))
        assert outside.reply()[0] == 200
        peer = outside.sock.getsockname()[1]
    traced.curl(f"http://127.0.0.1:{leaf.port}/leaf/8732?c=d")
    spans = traced.agent.stop()
    first = next(s for s in spans if s.attrs.get("server.address") == "shop.test")
    assert first.name == "GET /leaf/{id}"
    assert first.attrs == {
        "http.request.method": "GET", "http.response.status_code": 200, "http.route": "/leaf/{id}",
        "url.path": "/leaf/8731", "url.scheme": "http", "url.query": "a=b&sig=REDACTED",
        "server.address": "shop.test", "server.port": 8080, "client.address": "203.0.113.9",
        "network.peer.address": "127.0.0.1", "network.peer.port": peer, "network.protocol.version": "1.1",
        "user_agent.original": "e2e/1", "http.response.body.size": 3}
    call = next(s for s in spans if s.kind == "client")
    assert call.name == "GET"
    assert call.attrs == {
        "http.request.method": "GET", "http.response.status_code": 200, "server.address": "127.0.0.1",
        "server.port": leaf.port, "url.full": f"http://127.0.0.1:{leaf.port}/leaf/8732?c=d",
        "network.peer.address": "127.0.0.1", "network.peer.port": leaf.port, "network.protocol.version": "1.1",
        "http.response.body.size": 3}
    assert call.resource["service.name"] == "curl"
    assert call.resource["process.executable.name"] == "curl"
