# SPDX-License-Identifier: Apache-2.0
"""Servers that answer before they have the whole request: the exchange ends with what they said."""
import time

import pytest
from weftlib import servers
from weftlib.http import Raw, request
from weftlib.spans import client, expect, server

CONF = "client_header_timeout 1s; client_max_body_size 1k; lingering_close off; location / { return 200 'ok'; }"


@pytest.fixture
def leaf(traced, need):
    need("nginx")
    leaf = servers.nginx(traced, "leaf", CONF)
    leaf.agent = traced.agent
    return leaf


def ask(leaf, *pieces):
    with Raw(leaf.port) as raw:
        try:
            for piece in pieces:
                raw.send(piece)
                time.sleep(0.02)
        except ConnectionError:
            pass  # it had enough
        return raw.reply()[0]


@pytest.mark.core
def test_uri_too_long(leaf):
    """100 KB of it: the server stops reading long before its end."""
    assert ask(leaf, b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: t\r\n\r\n") == 414
    expect(leaf.agent.stop(), [server("leaf", "GET ", 414)])


def test_uri_too_long_from_curl(traced, leaf, need):
    """Both ends, and they belong together."""
    need("curl")
    traced.curl(f"http://127.0.0.1:{leaf.port}/{'x' * 60_000}")
    spans = leaf.agent.stop()
    expect(spans, [client("curl", spans[0].method + " " + next(
        s for s in spans if s.kind == "client").path, 414, server("leaf", "GET ", 414, link="socket"))])


@pytest.mark.core
def test_head_times_out(traced, need):
    """In its fields, and in its line."""
    need("haproxy")
    proxy = servers.haproxy(traced, "proxy", 1, options="timeout http-request 500ms")
    assert ask(proxy, b"GET /slow HTTP/1.1\r\nHost: t\r\n") == 408
    assert ask(proxy, b"DELETE /slow") == 408
    expect(traced.agent.stop(), [server("proxy", "GET /slow", 408), server("proxy", "DELETE ", 408)])


def test_head_times_out_without_a_word(leaf):
    """nginx only closes: there was no exchange."""
    with Raw(leaf.port) as raw:
        raw.send(b"GET /slow HTTP/1.1\r\nHost: t\r\n")
        assert raw.rest() == b""
    expect(leaf.agent.stop(), [])


@pytest.mark.core
def test_bad_field(leaf):
    """The line is good, a field is not."""
    assert ask(leaf, b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == 400
    assert ask(leaf, b"GET /y HTTP/1.1\r\nHo", b"st: a\x00b\r\n\r\n") == 400
    expect(leaf.agent.stop(), [server("leaf", "GET /x", 400), server("leaf", "GET /y", 400)])


def test_garbage(leaf):
    """Nothing in it says that it is a request: no span, but a count. One looks like TLS, and has no answer then."""
    for line in (b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET no version\r\n\r\n"):
        with Raw(leaf.port) as raw:
            raw.send(line)
            assert b"400" in raw.rest()[:20]
    metrics = leaf.agent.settle()
    expect(leaf.agent.stop(), [])
    assert metrics["weft_replies_unpaired_total"] == 2
    assert metrics["weft_connections_tls_empty_total"] == 1


@pytest.mark.core
def test_body_too_large(leaf):
    """413 at once, while the client goes on with a body full of requests."""
    fake = b"GET /fake HTTP/1.1\r\nHost: fake\r\n\r\n"
    head = request("/up", "POST", headers=[("Content-Length", str(len(fake) * 100))])
    assert ask(leaf, head, *[fake] * 20) == 413
    expect(leaf.agent.stop(), [server("leaf", "POST /up", 413)])
