# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 without TLS: prior knowledge and the upgrade, real servers and clients, exact spans."""
import collections
import subprocess

import pytest
from weftlib import servers
from weftlib.clock import pause, until
from weftlib.proc import free_port
from weftlib.spans import client, expect, expect_counts, server

BIG = 300_000


def nghttpd(lab, name="back"):
    """nghttp2's server over a directory with a small file and a big one."""
    root, port = lab.dir(name), free_port()
    fill(root)
    process = lab.process([servers.which("nghttpd"), "--no-tls", "-d", root, str(port)], name)
    process.wait_port(port)
    return servers.Running(process, port, name, root)


def fill(root):
    (root / "a.txt").write_text("hello\n")
    (root / "big").write_bytes(b"x" * BIG)


def ask(lab, name, *argv):
    process = lab.process(argv, name, brief=True)
    process.wait()
    assert process.child.returncode == 0, argv


def pair(who, back, path, code=200, **attrs):
    return client(who, f"GET {path}", code, server(back, f"GET {path}", code, link="socket", **attrs), link="", **attrs)


V2 = {"network__protocol__version": "2"}


@pytest.mark.core
def test_nghttp2(traced, need):
    """Requests on one connection; a body in many frames, in calls larger than what is copied."""
    need("nghttpd", "nghttp")
    back = nghttpd(traced)
    url = f"http://127.0.0.1:{back.port}"
    ask(traced, "nghttp", "nghttp", "-n", f"{url}/a.txt", f"{url}/none", f"{url}/big")
    expect(traced.agent.stop(), [
        pair("nghttp", "back", "/a.txt", **V2, http__response__body__size=6),
        pair("nghttp", "back", "/none", 404, **V2),
        pair("nghttp", "back", "/big", **V2, http__response__body__size=BIG)])


def test_upload(traced, need, tmp_path):
    """A body in the other direction, in frames with padding."""
    need("nghttpd", "nghttp")
    back = nghttpd(traced)
    body = tmp_path / "body"
    body.write_bytes(b"y" * BIG)
    ask(traced, "nghttp", "nghttp", "-n", "--padding=100", "-d", body,
        f"http://127.0.0.1:{back.port}/a.txt")
    size = {"http__request__body__size": BIG}
    expect(traced.agent.stop(), [
        client("nghttp", "POST /a.txt", 200, server("back", "POST /a.txt", 200, link="socket", **V2, **size),
               link="", **V2, **size)])


def test_upgrade(traced, need):
    """RFC 7540, 3.2: the request is HTTP/1.1's, the reply HTTP/2's."""
    need("apache", "nghttp")
    back = servers.apache(traced, "apache", config="Protocols h2c http/1.1\n", mods=("http2",), mpm="event")
    fill(back.root)
    url = f"http://127.0.0.1:{back.port}"
    # one request with a small reply: Apache ends such a connection right after it, now and then before
    ask(traced, "nghttp", "nghttp", "-n", "--upgrade", f"{url}/a.txt")
    expect(traced.agent.stop(), [pair("nghttp", "apache", "/a.txt", **V2, http__response__body__size=6)])


def test_curl_and_nginx(traced, need):
    """nginx takes HTTP/2 and passes it on as HTTP/1.0, by what it forwards and by its thread."""
    need("nginx", "curl")
    leaf = servers.nginx(traced, "leaf")
    port = free_port()
    front = servers.nginx(traced, "front", f"""listen 127.0.0.1:{port} http2;
        location / {{ proxy_pass http://127.0.0.1:{leaf.port}; }}""")
    assert front.pid
    for i in range(3):
        code, body = traced.curl("--http2-prior-knowledge", f"http://127.0.0.1:{port}/leaf/{i}", name=f"curl{i}")
        assert (code, body) == (0, b"ok\n")
    expect(traced.agent.stop(), [
        client(f"curl{i}", f"GET /leaf/{i}", 200, server("front", f"GET /leaf/{i}", 200, client(
            "front", f"GET /leaf/{i}", 200, server("leaf", f"GET /leaf/{i}", 200, link="socket")), link="socket", **V2),
               link="") for i in range(3)])


@pytest.mark.parametrize("streams", [1, 8, 64])
def test_h2load(traced, need, streams):
    """Many streams at once on each of several connections: every request has its two spans."""
    need("nghttpd", "h2load")
    back = nghttpd(traced)
    ask(traced, "h2load", "h2load", "-n", "1000", "-c", "4", "-m", str(streams), f"http://127.0.0.1:{back.port}/a.txt",
        f"http://127.0.0.1:{back.port}/none")
    spans = traced.agent.stop()
    expect_counts(spans, [(pair("h2load", "back", "/a.txt"), 500), (pair("h2load", "back", "/none", 404), 500)])
    assert collections.Counter(s.link for s in spans) == {"": 1000, "socket": 1000}


def test_older_connection(lab, hooks, need):
    """What came before is known to be unknown. What is certain of a request makes a span, and a field that is sent
    anew is known from then on."""
    need("node")
    back = nghttpd(lab)
    script = """
      const http2 = require('http2'), readline = require('readline');
      const c = http2.connect('http://127.0.0.1:%d');
      readline.createInterface({ input: process.stdin }).on('line', (path) => {
        const r = c.request({ ':path': path });
        r.on('response', (h) => { r.resume(); r.on('end', () => console.log(h[':status'])); });
        r.end();
      }).on('close', () => c.close());""" % back.port
    node = lab.process([servers.which("node"), "-e", script], "node", stdin=subprocess.PIPE)
    answers = []

    def get(path):
        node.child.stdin.write(f"{path}\n".encode())
        node.child.stdin.flush()
        answers.append(path)
        lines = until(lambda: (told := node.log.read_text().split()) and len(told) == len(answers) and told, "no answer")
        return int(lines[-1])

    assert get("/a.txt") == 200
    lab.agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    for _ in range(3):
        assert get("/none") == 404
        pause(0.1)  # for weft to say where the next frames begin
    assert get("/big") == 200
    node.child.stdin.close()
    node.wait()
    spans = expect(lab.agent.stop(), [*[pair("node", "back", "/none", 404)] * 3, pair("node", "back", "/big")]).by_id.values()
    assert {s.attrs.get("weft.incomplete") for s in spans} == {"headers"}, "the authority is in the table"
    assert {s.attrs["server.address"] for s in spans} == {"127.0.0.1"}, "the connection's own"
