# SPDX-License-Identifier: Apache-2.0
"""Real servers and real clients: the exact spans of each, with parents."""
import json

import pytest
from weftlib import servers
from weftlib.clock import pause
from weftlib.http import Raw, get
from weftlib.spans import client, expect, expect_counts, server

BLOCKING = ["python", "gunicorn", "java", "php", "ruby"]
KINDS = [*BLOCKING, "asyncio", "node", "go", "dotnet"]


def tree(kind, op, next_="leaf"):
    """What /op/t does in every app, as spans below the app's own."""
    def call(path, code=200):
        return client(kind, f"GET {path}", code, server(next_, f"GET {path}", code, link="socket"), link="thread")

    return server(kind, f"GET /{op}/t", 200, *{
        "leaf": [], "call": [call("/leaf/t")], "timer": [call("/leaf/t")],
        "fan": [call("/leaf/t.a"), call("/leaf/t.b")],
        "retry": [call("/fail/t.1", 503), call("/leaf/t.2")], "after": []}[op])


@pytest.mark.core
@pytest.mark.parametrize("kind", KINDS)
def test_app(traced, need, kind):
    """Every app, every path, one request at a time: all parents are found. What an event loop does
    right behind a reply can be work left over, so there each request comes after a pause."""
    need(kind, "nginx")
    leaf = servers.nginx(traced, "leaf")
    app = servers.app(traced, kind, kind, to=leaf.port)
    ops = ("leaf", "call", "timer", "fan", "retry") if kind in BLOCKING else ("call", "fan", "retry")
    for op in ops:
        # nor is a pool's thread proven before a few requests; Java's waits for its connections by epoll
        if kind not in BLOCKING or kind == "java":
            pause(1.2)
        assert get(app.port, f"/{op}/t")[0] == 200
    expect(traced.agent.stop(), [tree(kind, op) for op in ops])


@pytest.mark.parametrize("kind", BLOCKING)
def test_work_after_the_reply(traced, need, kind):
    """An answered request is never a parent."""
    need(kind, "nginx")
    leaf = servers.nginx(traced, "leaf")
    app = servers.app(traced, kind, kind, to=leaf.port)
    assert get(app.port, "/after/t")[0] == 200
    traced.agent.wait_spans(3)
    expect(traced.agent.stop(), [
        tree(kind, "after"), client(kind, "GET /leaf/t.after", 200, server("leaf", "GET /leaf/t.after"))])


@pytest.mark.parametrize("kind", KINDS)
def test_refused_backend(traced, need, kind):
    need(kind, "nginx")
    leaf = servers.nginx(traced, "leaf")
    app = servers.app(traced, kind, kind, to=leaf.port)
    pause(1.2)  # the agent links more once it has seen a process idle
    assert get(app.port, "/refuse/t/127.5.5.5")[0] == 200
    expect(traced.agent.stop(), [server(
        kind, "GET /refuse/t/127.5.5.5", 200,
        client(kind, " ", 0, error="connection_refused", link="thread", server__address="127.5.5.5"),
        client(kind, "GET /leaf/t.2", 200, server("leaf", "GET /leaf/t.2"), link="thread"))])


def proxied(path, code=200, name="front", behind=None, link="forward"):
    return server(name, f"GET {path}", code,
                  client(name, f"GET {behind or path}", code, server("leaf", f"GET {behind or path}", code),
                         link=link))


PROXIES = {
    "nginx": servers.nginx_proxy,
    "nginx-keepalive": lambda lab, name, to: servers.nginx_proxy(lab, name, to, keepalive=4),
    "nginx-workers": lambda lab, name, to: servers.nginx_proxy(lab, name, to, keepalive=4, workers=4),
    "haproxy": servers.haproxy,
    "haproxy-threads": lambda lab, name, to: servers.haproxy(lab, name, to, threads=2),
    "haproxy-close": lambda lab, name, to: servers.haproxy(lab, name, to, options="option http-server-close"),
    "apache-prefork": servers.apache_proxy,
    "apache-event": lambda lab, name, to: servers.apache_proxy(lab, name, to, mpm="event"),
}


def any_link(want):
    """A parent, whatever the evidence."""
    want.link = None
    for child in want.children:
        any_link(child)
    return want


@pytest.mark.core
@pytest.mark.parametrize("kind", PROXIES)
def test_proxy(traced, need, kind):
    need(kind.partition("-")[0], "nginx")
    leaf = servers.nginx(traced, "leaf")
    front = PROXIES[kind](traced, "front", leaf.port)
    with Raw(front.port) as raw:
        for c in "abc":
            assert raw.get(f"/leaf/{c}")[0] == 200
        assert raw.get("/fail/x")[0] == 503
    assert get(front.port, "/leaf/lone")[0] == 200
    expect(traced.agent.stop(), [any_link(proxied(f"/leaf/{c}")) for c in ("a", "b", "c", "lone")]
           + [any_link(proxied("/fail/x", 503))])


@pytest.mark.parametrize("kind", ["nginx-keepalive", "haproxy", "apache-prefork"])
def test_proxy_at_once(traced, need, kind):
    """Many at once through a proxy, each with a path of its own: each call below its own request."""
    need(kind.partition("-")[0], "nginx")
    leaf = servers.nginx(traced, "leaf")
    front = PROXIES[kind](traced, "front", leaf.port)
    raws = [Raw(front.port) for _ in range(16)]
    for turn in range(5):
        for i, raw in enumerate(raws):
            raw.send(f"GET /leaf/x{turn}-{i} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
        for raw in raws:
            assert raw.reply()[0] == 200
    for raw in raws:
        raw.close()
    expect_counts(traced.agent.stop(), [
        (any_link(proxied(f"/leaf/x{turn}-{i}")), 1) for turn in range(5) for i in range(16)])


def test_proxy_rewrites_the_path(traced, need):
    """The forwarded head differs in its target; the thread is evidence enough for one at a time."""
    need("nginx")
    leaf = servers.nginx(traced, "leaf")
    front = servers.nginx_proxy(traced, "front", leaf.port, rewrite="rewrite ^/api/(.*)$ /leaf/$1 break;")
    assert get(front.port, "/leaf/first")[0] == 200  # a worker's first request proves nothing
    pause(1.2)
    assert get(front.port, "/api/x")[0] == 200
    expect(traced.agent.stop(), [any_link(proxied("/leaf/first")), any_link(proxied("/api/x", behind="/leaf/x"))])


def test_proxy_without_backend(traced, need):
    need("nginx")
    front = servers.nginx_proxy(traced, "front", servers.free_port(), rewrite="if ($uri = /first) { return 200; }")
    assert get(front.port, "/first")[0] == 200  # a worker's first request proves nothing
    pause(1.2)
    assert get(front.port, "/x")[0] == 502
    expect(traced.agent.stop(), [server("front", "GET /first", 200), server("front", "GET /x", 502, client(
        "front", " ", 0, error="connection_refused", link="thread"))])


def test_static_files(traced, need):
    need("apache", "curl")
    for name, it in (("prefork", servers.apache(traced, "prefork")),
                     ("event", servers.apache(traced, "event", "event")),
                     ("nginx", servers.nginx_static(traced, "nginx"))):
        (it.root / "page.txt").write_text(name * 5000)
        status, body = traced.curl(f"http://127.0.0.1:{it.port}/page.txt", f"http://127.0.0.1:{it.port}/none",
                                   "-o", traced.tmp / "none", name=f"curl-{name}")
        assert status == 0 and body.decode() == name * 5000
    wants = [client(f"curl-{n}", f"GET {path}", code, server(n, f"GET {path}", code, link="socket"))
             for n in ("prefork", "event", "nginx") for path, code in (("/page.txt", 200), ("/none", 404))]
    expect(traced.agent.stop(), wants)


@pytest.mark.parametrize("options,want", [
    (["-I"], "HEAD /leaf/x"), (["--http1.0"], "GET /leaf/x"), (["-d", "a=b"], "POST /leaf/x"),
    (["-X", "DELETE"], "DELETE /leaf/x"), (["-H", "Connection: close"], "GET /leaf/x")],
    ids=["head", "http1.0", "post", "delete", "close"])
def test_curl(traced, need, options, want):
    need("curl")
    leaf = servers.nginx(traced, "leaf")
    status, _ = traced.curl(*options, f"http://127.0.0.1:{leaf.port}/leaf/x")
    assert status == 0
    expect(traced.agent.stop(), [client("curl", want, 200, server("leaf", want, 200, link="socket"))])


def test_chain(traced, need):
    """Five servers of five kinds in a row, one trace."""
    need("nginx", "haproxy", "node", "java")
    leaf = servers.nginx(traced, "leaf")
    java = servers.app(traced, "java", "java", to=leaf.port)
    lb = servers.haproxy(traced, "lb", java.port)
    shim = traced.dir("shim") / "shim.js"
    shim.write_text(f"""
        const http = require('http');
        http.createServer((request, reply) => http.get(
            {{ port: {lb.port}, host: '127.0.0.1', path: request.url, agent: false }}, back => {{
                reply.writeHead(back.statusCode, {{ 'Content-Length': 3 }});
                back.pipe(reply);
            }})).listen({(port := servers.free_port())}, '127.0.0.1');""")
    traced.process([servers.which("node"), shim], "node").wait_port(port)
    front = servers.nginx_proxy(traced, "front", port, keepalive=2)
    pause(1.2)
    status, _ = traced.curl(f"http://127.0.0.1:{front.port}/call/t")
    assert status == 0
    spans = traced.agent.stop()
    want = client("java", "GET /leaf/t", 200, server("leaf", "GET /leaf/t"))
    for name in ("java", "lb", "node", "front"):
        want = client({"java": "lb", "lb": "node", "node": "front", "front": "curl"}[name], "GET /call/t", 200,
                      server(name, "GET /call/t", 200, want))
    expect(spans, [want])
    assert len({s.trace for s in spans}) == 1
    assert len({json.dumps(s.resource, sort_keys=True) for s in spans}) == 6


def test_wrk(lab, hooks, need):
    """Full speed for a moment: every request has its two spans. Lines of JSON are the slowest way out,
    so its queue is large; the bench measures OTLP with the default one."""
    need("wrk")
    traced = lab
    traced.agent = lab.weft(hooks=hooks[0], transport=hooks[1], args=["--queue-bytes", "32MiB"])
    leaf = servers.nginx(traced, "leaf")
    wrk = traced.process(["wrk", "-t1", "-c8", "-d1s", f"http://127.0.0.1:{leaf.port}/leaf/x"], "wrk")
    assert wrk.wait(20) == 0
    done = int(next(line.split()[0] for line in wrk.output().splitlines() if "requests in" in line))
    spans = traced.agent.stop()
    served = [s for s in spans if s.service == "leaf" and s.code == 200]
    called = {s.id: s for s in spans if s.service == "wrk" and s.code == 200}
    # wrk leaves with one request open on each connection.
    assert 0 <= len(served) - done <= 8, (len(served), done)
    assert 0 <= len(called) - done <= 8, (len(called), done)
    orphans = [s for s in served if s.parent not in called]
    assert len(orphans) <= 8, len(orphans)
