# SPDX-License-Identifier: Apache-2.0
"""gRPC between Python, Go and Node.js: unary and streaming, statuses, messages, at once, behind each other."""
import collections

import pytest
from weftlib import servers
from weftlib.clock import until
from weftlib.proc import free_port
from weftlib.spans import check_sane

LANGUAGES = ("python", "go", "node")
READABLE = ("go", "node")  # Python's gRPC has a BoringSSL of its own, without symbols
# (messages asked, messages answered, status)
METHODS = {"Unary": (1, 1, "OK"), "Down": (1, 3, "OK"), "Up": (3, 1, "OK"), "Both": (3, 3, "OK"),
           "Fail": (1, 0, "NOT_FOUND"), "None": (1, 0, "UNIMPLEMENTED")}


@pytest.fixture(autouse=True)
def able():
    if why := servers.missing("go") or servers.old_go(1, 24):  # of gRPC's module
        pytest.skip(why)


def env(lab, tls):
    return {"GRPC_VERBOSITY": "NONE", **({"TLS": str(servers.certificate(lab))} if tls else {})}


def serve(lab, language, name, following=None, tls=False, how="serve"):
    port = free_port()
    argv = [*servers.grpc_echo(lab, language), how, port, *([following] if following else [])]
    process = lab.process(argv, name, env=env(lab, tls))
    process.wait_port(port, timeout=30)
    return servers.Running(process, port, name)


def call(lab, language, port, method, n=1, at_once=1, size=5, tls=False):
    process = lab.process([*servers.grpc_echo(lab, language), "call", port, method, n, at_once, size], f"{language}-client",
                          env=env(lab, tls))
    process.wait(60)
    assert process.child.returncode == 0, process.log.read_text()


def token(s):
    return s.attrs["http.request.header.x-number"][0]


def facts(s):
    a = s.attrs
    status, asked = a.get("rpc.response.status_code"), a.get("weft.rpc.request.messages")
    if status == "UNIMPLEMENTED" and asked == 0:
        asked = 1  # the headers are enough for that answer: the client can have it before it sends its message
    return (s.service, s.kind, s.name, a.get("rpc.method"), status, s.error, asked,
            a.get("weft.rpc.response.messages"), s.link)


def wanted(who, back, method, size_known=True):
    """The two spans of one call."""
    up, down, status = METHODS[method]
    name = other = f"t.Echo/{method}"
    if status == "UNIMPLEMENTED":
        name, other = "grpc", "_OTHER"  # to the server it may be anything
    error = "" if status == "OK" else status
    on_server = error if status == "UNIMPLEMENTED" else ""
    counts = (up, down) if size_known else (None, None)
    return [(who, "client", f"t.Echo/{method}", f"t.Echo/{method}", status, error, *counts, ""),
            (back, "server", name, other, status, on_server, *counts, "socket")]


@pytest.mark.parametrize("back", LANGUAGES)
@pytest.mark.parametrize("front", LANGUAGES)
def test_every_pairing(traced, need, front, back):
    """Every kind of call. A method that the server does not have gives no name."""
    need("node", "npm", "go")
    it = serve(traced, back, "back")
    call(traced, front, it.port, ",".join(METHODS))
    spans = traced.agent.stop()
    check_sane(spans)
    assert collections.Counter(map(facts, spans)) == collections.Counter(
        f for method in METHODS for f in wanted(f"{front}-client", "back", method))
    for s in spans:
        assert s.attrs["rpc.system.name"] == "grpc" and s.attrs["server.port"] == it.port, s.attrs
        assert "http.request.method" not in s.attrs and "url.full" not in s.attrs, s.attrs


@pytest.mark.parametrize("back", READABLE)
@pytest.mark.parametrize("front", READABLE)
def test_over_tls(traced, need, front, back):
    """The same through the libraries that TLS can be read of, also at once."""
    need("node", "npm", "go")
    it = serve(traced, back, "back", tls=True)
    # the client's own library is probed before a client that lives for a moment begins
    serve(traced, front, "idle", tls=True)
    until(lambda: traced.agent.metrics()["weft_tls_libraries"] >= len({front, back}), "not all are probed")
    call(traced, front, it.port, ",".join(METHODS), tls=True)
    call(traced, front, it.port, "Unary", 100, 16, tls=True)
    spans = traced.agent.stop()
    check_sane(spans)
    want = collections.Counter(f for method in METHODS for f in wanted(f"{front}-client", "back", method))
    for f in wanted(f"{front}-client", "back", "Unary"):
        want[f] += 100
    assert collections.Counter(map(facts, spans)) == want
    for s in spans:
        assert s.attrs["tls.protocol.version"] == "1.3" and s.attrs["tls.next_protocol"] == "h2", s.attrs


@pytest.mark.parametrize("at_once", [1, 8, 64])
def test_at_once(traced, need, at_once):
    """Streams between each other on one connection, with messages in several frames: each has its two spans."""
    need("go")
    it = serve(traced, "go", "back")
    call(traced, "go", it.port, "Both", 200, at_once, 40)
    call(traced, "go", it.port, "Unary", 200, at_once, 70_000)
    spans = traced.agent.stop()
    check_sane(spans)
    assert collections.Counter(f[:6] + f[8:] for f in map(facts, spans)) == collections.Counter(
        {f[:6] + f[8:]: 200 for method in ("Both", "Unary") for f in wanted("go-client", "back", method)})
    counts = {(f[6], f[7]) for f in map(facts, spans) if f[2] == "t.Echo/Both"}
    assert counts == {(3, 3)}, counts


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("at_once", [1, 16])
def test_behind_each_other(lab, hooks, need, language, at_once):
    """A server that asks the next one, and hands on a token: whatever parent its call has, it is the right one."""
    need("node", "npm", "go")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1], args=["--request-headers", "x-number"])
    leaf = serve(lab, "go", "leaf")
    middle = serve(lab, language, "middle", leaf.port)
    call(lab, "go", middle.port, "Pass", 40, at_once)
    spans = agent.stop()
    forest = check_sane(spans)
    assert collections.Counter((s.service, s.kind, s.name) for s in spans) == {
        ("go-client", "client", "t.Echo/Pass"): 40, ("middle", "server", "t.Echo/Pass"): 40,
        ("middle", "client", "t.Echo/Unary"): 40, ("leaf", "server", "t.Echo/Unary"): 40}
    assert len({token(s) for s in spans}) == 40
    children = [s for s in spans if s.parent]
    wrong = [s for s in children if token(forest.by_id[s.parent]) != token(s)]
    assert not wrong, wrong
    assert collections.Counter(s.link for s in children)["socket"] == 80


def test_web(traced, need):
    """gRPC-Web over HTTP/1.1: a call's status is in the body, unless it fails at once."""
    need("go", "curl")
    it, message = serve(traced, "go", "back", how="serve-web"), traced.tmp / "message"
    message.write_bytes(b"\0\0\0\0\5hello")
    for method in ("Unary", "Fail"):
        assert traced.curl("-H", "content-type: application/grpc-web+proto", "--data-binary", f"@{message}",
                           f"http://127.0.0.1:{it.port}/t.Echo/{method}")[0] == 0
    spans = traced.agent.stop()
    check_sane(spans)
    assert collections.Counter(map(facts, spans)) == collections.Counter(
        (who, kind, f"t.Echo/{method}", f"t.Echo/{method}", status, (kind == "client" and status) or "", None, None, link)
        for method, status in (("Unary", None), ("Fail", "NOT_FOUND"))
        for who, kind, link in (("curl", "client", ""), ("back", "server", "socket")))


def test_old_conventions(lab, hooks, need):
    need("go")
    it = serve(lab, "go", "back")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1], args=["--rpc-conventions", "old"])
    call(lab, "go", it.port, "Fail")
    spans = agent.stop()
    assert len(spans) == 2
    for s in spans:
        assert s.name == "t.Echo/Fail"
        assert {k: v for k, v in s.attrs.items() if k.startswith("rpc.")} == {
            "rpc.system": "grpc", "rpc.service": "t.Echo", "rpc.method": "Fail", "rpc.grpc.status_code": 5}
