# SPDX-License-Identifier: Apache-2.0
"""PHP-FPM behind nginx. FastCGI is not HTTP: nginx's request ends at nginx, and what a worker calls
belongs to a request that weft cannot see. Such a call begins a trace; it never gets another's parent."""
import threading

import pytest
from weftlib import paths, servers
from weftlib.http import Raw, get
from weftlib.spans import Forest, client, expect, expect_counts, server

STREAM = """<?php
$reply = file_get_contents('http://127.0.0.1:' . getenv('NEXT') . $_SERVER['REQUEST_URI']);
header('Content-Length: ' . strlen($reply));
echo $reply;
"""


def site(lab, script=paths.APPS / "app.php", unix=False, keepalive=0, workers=4):
    leaf = servers.nginx(lab, "leaf")
    back = servers.fpm(lab, "fpm", leaf.port, unix=unix, workers=workers)
    return servers.nginx_fastcgi(lab, "front", back, script, keepalive=keepalive), back


def called(path, code=200):
    return client("fpm", f"GET {path}", code, server("leaf", f"GET {path}", code, link="socket"), link="")


@pytest.mark.core
@pytest.mark.parametrize("way", ["tcp", "tcp-kept", "unix"])
def test_fpm(traced, need, way):
    """Every path: nginx's span, and the worker's calls beside it, with all that is below them."""
    need("fpm", "nginx")
    front, _ = site(traced, unix=way == "unix", keepalive=2 if way == "tcp-kept" else 0)
    for op in ("leaf", "call", "timer", "fan", "retry", "after"):
        assert get(front.port, f"/{op}/t")[0] == 200
    traced.agent.wait_spans(6 + 2 * 7)
    expect(traced.agent.stop(), [
        *(server("front", f"GET /{op}/t", 200, link="") for op in ("leaf", "call", "timer", "fan", "retry", "after")),
        called("/leaf/t"), called("/leaf/t"), called("/leaf/t.a"), called("/leaf/t.b"),
        called("/fail/t.1", 503), called("/leaf/t.2"), called("/leaf/t.after")])


def test_fpm_streams(traced, need, tmp_path):
    """PHP's own HTTP client."""
    need("fpm", "nginx")
    script = tmp_path / "stream.php"
    script.write_text(STREAM)
    front, _ = site(traced, script)
    with Raw(front.port) as raw:
        for c in "abc":
            assert raw.get(f"/leaf/{c}")[0] == 200
    expect(traced.agent.stop(), [w for c in "abc" for w in (server("front", f"GET /leaf/{c}"), called(f"/leaf/{c}"))])


def test_fpm_at_once(traced, need):
    """Busy workers, and nginx with many requests open: still nothing is linked across FastCGI."""
    need("fpm", "nginx")
    front, _ = site(traced, workers=8, keepalive=8)

    def load(n):
        with Raw(front.port) as raw:
            for i in range(20):
                assert raw.get(f"/call/x{n}-{i}")[0] == 200

    threads = [threading.Thread(target=load, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    spans = traced.agent.stop()
    Forest(spans)
    expect_counts(spans, [w for n in range(8) for i in range(20) for w in (
        (server("front", f"GET /call/x{n}-{i}"), 1), (called(f"/leaf/x{n}-{i}"), 1))])


def test_fpm_is_down(traced, need):
    """nginx' failed connect to the pool is a span below its request, as to any backend."""
    need("fpm", "nginx")
    front, back = site(traced)
    assert get(front.port, "/leaf/up")[0] == 200
    back.stop()
    assert get(front.port, "/leaf/t")[0] == 502
    spans = traced.agent.stop()
    Forest(spans)
    down = next(s for s in spans if s.code == 502)
    refused = next(s for s in spans if s.error == "connection_refused")
    assert refused.kind == "client" and refused.service == "front" and refused.parent in ("", down.id), spans
    assert len(spans) == 3, spans
