# SPDX-License-Identifier: Apache-2.0
"""TLS in clear, with nothing changed: real servers and clients, exact spans."""
import collections
import json
import re
import resource
import shutil
import subprocess
import sys
import time

import pytest
from test_http2 import ask, fill
from test_servers import BLOCKING, any_link, proxied, tree
from weftlib import fetched, paths, servers
from weftlib.clock import SCALE, pause, until
from weftlib.http import Raw, get, request
from weftlib.proc import free_port
from weftlib.spans import check_sane, client, expect, expect_counts, server

V3 = {"tls.protocol.version": "1.3"}
OWN = ("node", "go", "dotnet")  # with another library than nginx's


def secure(want):
    """The same over TLS."""
    want.attrs |= V3
    if want.kind == "server":
        want.attrs["url.scheme"] = "https"
    for child in want.children:
        secure(child)
    return want


@pytest.mark.core
@pytest.mark.parametrize("kind", ["python", "gunicorn", "ruby", "asyncio", "node", "go", "dotnet"])
def test_app(traced, need, kind):
    """As in test_servers, with all of it over TLS: blocking sockets that the library calls, and event loops that
    hand it bytes."""
    need(kind, "nginx")
    leaf = servers.nginx(traced, "leaf", tls=True)
    app = servers.app(traced, kind, kind, to=leaf.port, tls=True)
    libraries = 2 if kind in OWN else 1
    until(lambda: traced.agent.metrics()["weft_tls_libraries"] >= libraries, "not all libraries are probed")
    ops = ("leaf", "call", "timer", "fan", "retry") if kind in BLOCKING else ("call", "fan", "retry")
    for op in ops:
        if kind not in BLOCKING:
            pause(1.2)
        assert get(app.port, f"/{op}/t", tls=True)[0] == 200
    expect(traced.agent.stop(), [any_link(secure(tree(kind, op))) for op in ops])


@pytest.mark.parametrize("kind", ["nginx", "nginx-keepalive", "haproxy", "haproxy-threads"])
def test_proxy(traced, need, kind):
    """TLS in front and behind."""
    need(kind.partition("-")[0], "nginx")
    leaf = servers.nginx(traced, "leaf", tls=True)
    front = {
        "nginx": lambda: servers.nginx_proxy(traced, "front", leaf.port, tls=True),
        "nginx-keepalive": lambda: servers.nginx_proxy(traced, "front", leaf.port, keepalive=4, tls=True),
        "haproxy": lambda: servers.haproxy(traced, "front", leaf.port, tls=True),
        "haproxy-threads": lambda: servers.haproxy(traced, "front", leaf.port, threads=2, tls=True),
    }[kind]()
    with Raw(front.port, tls=True) as raw:
        for c in "abc":
            assert raw.get(f"/leaf/{c}")[0] == 200
        assert raw.get("/fail/x")[0] == 503
    assert get(front.port, "/leaf/lone", tls=True)[0] == 200
    expect(traced.agent.stop(), [any_link(secure(proxied(f"/leaf/{c}"))) for c in ("a", "b", "c", "lone")]
           + [any_link(secure(proxied("/fail/x", 503)))])


@pytest.mark.parametrize("kind", ["python", "ruby", "asyncio", "node", "go", "dotnet"])
def test_chain(traced, need, kind):
    """nginx and HAProxy in front of an app, with TLS between all of them: one trace."""
    need("nginx", "haproxy", "curl", kind)
    leaf = servers.nginx(traced, "leaf", tls=True)
    app = servers.app(traced, kind, kind, to=leaf.port, tls=True)
    lb = servers.haproxy(traced, "lb", app.port, tls=True)
    front = servers.nginx_proxy(traced, "front", lb.port, tls=True)
    libraries = 2 if kind in OWN else 1
    until(lambda: traced.agent.metrics()["weft_tls_libraries"] >= libraries, "not all libraries are probed")
    pause(1.2)
    assert traced.curl("-k", f"https://127.0.0.1:{front.port}/call/t")[0] == 0
    want = secure(tree(kind, "call"))
    for name in ("lb", "front", "curl"):
        want = secure(client(name, "GET /call/t", 200, want))
        if name != "curl":
            want = secure(server(name, "GET /call/t", 200, want))
    spans = traced.agent.stop()
    expect(spans, [any_link(want)])
    assert len({s.trace for s in spans}) == 1


CLIENTS = {
    "curl": lambda pem, url: [servers.which("curl"), "-s", "-S", "-o", "/dev/null", "--cacert", pem, url],
    "curl-1.2": lambda pem, url: [servers.which("curl"), "-s", "-S", "-o", "/dev/null", "--tls-max", "1.2", "--cacert", pem, url],
    "wget": lambda pem, url: [servers.which("wget"), "-q", "-O", "/dev/null", f"--ca-certificate={pem}", url],
    "nghttp": lambda pem, url: [servers.which("nghttp"), "-n", url],
    "openssl": lambda pem, url: ["/bin/sh", "-c", 'printf "GET /leaf/a HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n" | '
                                 f'{servers.which("openssl")} s_client -quiet -servername localhost -connect localhost:{url.split(":")[2].split("/")[0]}'],
    "gnutls": lambda pem, url: ["/bin/sh", "-c", '(printf "GET /leaf/a HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n"; sleep 0.3) | '
                                f'gnutls-cli --no-ca-verification localhost -p {url.split(":")[2].split("/")[0]}'],
}


@pytest.mark.parametrize("kind", CLIENTS)
def test_client(traced, need, kind):
    """Command line clients, by OpenSSL and by GnuTLS: what the server saw is what the client sent."""
    need("nginx")
    program = {"curl-1.2": "curl", "gnutls": "gnutls-cli"}.get(kind, kind)
    if why := servers.missing(program):
        pytest.skip(why)
    leaf = servers.nginx(traced, "leaf", tls=True, listen="http2" if kind == "nghttp" else "")
    # both libraries are probed before a client that lives for a moment begins
    traced.process([servers.which("sleep"), "600"], "idle", env={"LD_PRELOAD": "libgnutls.so.30"})
    until(lambda: traced.agent.metrics()["weft_tls_libraries"] >= 2, "not both are probed")
    pem = servers.certificate(traced) / "cert.pem"
    for _ in range(2):
        ask(traced, program, *CLIENTS[kind](pem, f"https://localhost:{leaf.port}/leaf/a"))
    version = {"tls__protocol__version": "1.2" if kind == "curl-1.2" else "1.3"}
    expect(traced.agent.stop(), [
        client(program, "GET /leaf/a", 200, server("leaf", "GET /leaf/a", 200, link="socket", **version), link="",
               tls__client__server_name="localhost", **version)] * 2)


@pytest.mark.parametrize("streams", [1, 8, 64])
def test_http2(traced, need, streams):
    """Many streams on each of several connections, by ALPN."""
    need("nghttpd", "h2load")
    root, port, pem = traced.dir("back"), free_port(), servers.certificate(traced)
    fill(root)
    traced.process([servers.which("nghttpd"), "-d", root, str(port), pem / "key.pem", pem / "cert.pem"], "back").wait_port(port)
    until(lambda: traced.agent.metrics()["weft_tls_libraries"], "the library is not probed")
    ask(traced, "h2load", "h2load", "-n", "1000", "-c", "4", "-m", str(streams), f"https://127.0.0.1:{port}/a.txt",
        f"https://127.0.0.1:{port}/big")
    expect_counts(traced.agent.stop(), [
        (client("h2load", f"GET {path}", 200, server("back", f"GET {path}", 200)), 500) for path in ("/a.txt", "/big")])


@pytest.mark.parametrize("openssl", fetched.NODE)
def test_older_openssl(traced, need, openssl):
    """Through the OpenSSL of an older Node.js."""
    need("node", "npm", "nginx")
    program = servers.old_node(traced, openssl)
    leaf = servers.nginx(traced, "leaf", tls=True)
    front = servers.app(traced, "node", "front", to=leaf.port, tls=True, program=program)
    until(lambda: traced.agent.metrics()["weft_tls_libraries"] >= 2, "not both are probed")
    pause(1.2)
    assert get(front.port, "/call/a", tls=True)[0] == 200
    version = {"tls__protocol__version": "1.2" if openssl == "1.0.2" else "1.3"}
    expect(traced.agent.stop(), [server("front", "GET /call/a", 200, client(
        "front", "GET /leaf/a", 200, server("leaf", "GET /leaf/a", link="socket", **version), link="thread", **version), **version)])


def test_boringssl(traced, need):
    """curl over a BoringSSL, in a module of Python's, whose symbols are there but not exported."""
    need("nginx")
    made = servers.curl_cffi(traced)
    leaf, go = servers.nginx(traced, "leaf", tls=True), traced.tmp / "go"
    asks = traced.process([sys.executable, "-c", f"""
import pathlib, time
from curl_cffi import CurlOpt, requests
ask = requests.Session(curl_options={{CurlOpt.IPRESOLVE: 1}}).get  # nginx has no IPv6
while not pathlib.Path({str(go)!r}).exists():
    time.sleep(0.01)
for i in range(3):
    assert ask(f"https://localhost:{leaf.port}/leaf/{{i}}", verify={f'{servers.certificate(traced)}/cert.pem'!r}).status_code == 200
"""], "curl", env={"PYTHONPATH": str(made)})
    until(lambda: traced.agent.metrics()["weft_tls_libraries"] >= 2, "not both are probed")
    go.touch()
    asks.wait(60)
    assert asks.child.returncode == 0, asks.log.read_text()
    expect(traced.agent.stop(), [
        client("curl", f"GET /leaf/{i}", 200, server("leaf", f"GET /leaf/{i}", 200, link="socket", **V), link="",
               tls__client__server_name="localhost", **V) for i in range(3)])


V = {"tls__protocol__version": "1.3"}


def test_node_http2(traced, need):
    """Node.js' server and client of HTTP/2, which hand bytes to the library linked into it."""
    need("node")
    pem, port = servers.certificate(traced), free_port()
    source = f"""
      const http2 = require('http2'), fs = require('fs');
      const [cert, key] = ['cert', 'key'].map(n => fs.readFileSync(`{pem}/${{n}}.pem`));"""
    traced.process([servers.which("node"), "-e", source + f"""
      http2.createSecureServer({{ cert, key }}, (q, r) => r.end('ok')).listen({port}, '127.0.0.1');"""], "back").wait_port(port)
    until(lambda: traced.agent.metrics()["weft_tls_libraries"], "the library is not probed")
    ask(traced, "node", servers.which("node"), "-e", source + f"""
      const c = http2.connect('https://localhost:{port}', {{ ca: cert }});
      let left = 20;
      for (let i = 0; i < 20; i++) {{
        const r = c.request({{ ':path': `/${{i}}` }});
        r.resume();
        r.on('end', () => --left || c.close());
        r.end();
      }}""")
    expect(traced.agent.stop(), [
        client("node", f"GET /{i}", 200, server("back", f"GET /{i}", 200, link="socket", **V2), link="", **V2)
        for i in range(20)])


V2 = {"network__protocol__version": "2", "tls__next_protocol": "h2", **V}


@pytest.mark.parametrize("build", servers.GO_BUILDS)
def test_go_builds(traced, need, build):
    """Go programs without symbols, where the loader puts them anywhere, and of older compilers; one of them calls the
    other."""
    need("go")
    leaf = servers.app(traced, "go", "leaf", tls=True, **servers.GO_BUILDS[build])
    front = servers.app(traced, "go", "front", to=leaf.port, tls=True, **servers.GO_BUILDS[build])
    pause(1.2)
    assert get(front.port, "/call/a", tls=True)[0] == 200
    expect(traced.agent.stop(), [secure(server("front", "GET /call/a", 200, client(
        "front", "GET /leaf/a", 200, server("leaf", "GET /leaf/a", link="socket"), link="thread")))])


def test_deleted_program(lab, hooks, need):
    """Its file was replaced while it runs, as by an upgrade, and lies at low addresses, as Go's do."""
    need("go")
    copy, port = lab.dir("copy") / "app", free_port()
    shutil.copy(servers.go_binary(lab), copy)
    lab.process([copy], "go", env={"PORT": str(port), "TLS": str(servers.certificate(lab))}).wait_port(port)
    copy.unlink()
    lab.agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    until(lambda: lab.agent.metrics()["weft_tls_libraries"], "the program is not probed")
    assert get(port, "/leaf/a", tls=True)[0] == 200
    expect(lab.agent.stop(), [secure(server("go", "GET /leaf/a", 200, link=""))])


def test_go_http2(traced, need):
    """Go's server by HTTP/2, on a connection that many requests share."""
    need("go", "h2load")
    app = servers.app(traced, "go", "go", tls=True)
    servers.app(traced, "python", "idle", tls=True)  # it has h2load's library, which is probed before h2load starts
    until(lambda: traced.agent.metrics()["weft_tls_libraries"] >= 2, "not both are probed")
    ask(traced, "h2load", "h2load", "-n", "400", "-c", "4", "-m", "8", f"https://127.0.0.1:{app.port}/leaf/a")
    expect_counts(traced.agent.stop(), [
        (client("h2load", "GET /leaf/a", 200, server("go", "GET /leaf/a", 200)), 400)])


@pytest.mark.core
@pytest.mark.parametrize("kind", ["python", "node", "go"])
def test_older_connection(lab, hooks, need, kind):
    """The connections, the processes and their libraries are there before weft is. Python and Go already wait for the
    first request inside their libraries. Node.js' order of calls has yet to be seen from both sides, and then where a request
    begins."""
    need(kind)
    app = servers.app(lab, kind, kind, tls=True)
    with Raw(app.port, tls=True) as raw:
        assert raw.get("/leaf/before")[0] == 200
        lab.agent = lab.weft(hooks=hooks[0], transport=hooks[1])
        until(lambda: lab.agent.metrics()["weft_tls_libraries"], "the library is not probed")
        for i in range(4):
            assert raw.get(f"/leaf/{i}")[0] == 200
            pause(0.1)
    spans = lab.agent.stop()
    first = 2 if kind == "node" or (SCALE > 1 and len(spans) == 2) else 1  # emulated, often as Node.js
    expect(spans, [server(kind, f"GET /leaf/{i}", 200, link="") for i in range(first, 4)])


@pytest.mark.parametrize("kind", ["curl", "curl-long", "python", "go"])
def test_tunnel(traced, need, kind):
    """Through a proxy that is asked by CONNECT: what the client says inside is traced like any other, however much it
    took to open it."""
    need("apache", "nginx", "curl", "go")
    leaf = servers.nginx(traced, "leaf", tls=True)
    proxy = servers.apache(traced, "proxy", "event", f"ProxyRequests On\nAllowCONNECT {leaf.port}\n", ("proxy", "proxy_connect"))
    until(lambda: traced.agent.metrics()["weft_tls_libraries"], "the library is not probed")
    if kind == "go":
        servers.app(traced, "go", "idle", tls=True)
        until(lambda: traced.agent.metrics()["weft_tls_libraries"] == 2, "Go's own is not probed")
    pem, url = servers.certificate(traced) / "cert.pem", f"https://localhost:{leaf.port}/leaf/"
    env = {"TLS": str(pem.parent), "https_proxy": f"http://127.0.0.1:{proxy.port}", "SSL_CERT_FILE": str(pem), "no_proxy": ""}
    program = {
        "curl": lambda: [servers.which("curl"), "-s", "-S", "-o", "/dev/null", "--cacert", pem, "-o", "/dev/null", f"{url}a", f"{url}b"],
        "curl-long": lambda: [servers.which("curl"), "-s", "-S", "-o", "/dev/null", "--cacert", pem, "--proxy-header",
                              "X-Long: " + 3000 * "x", "-o", "/dev/null", f"{url}a", f"{url}b"],
        "python": lambda: [servers.python(), "-c", f"""
import http.client, ssl
c = http.client.HTTPSConnection("127.0.0.1", {proxy.port}, context=ssl.create_default_context(cafile={str(pem)!r}))
c.set_tunnel("localhost", {leaf.port})
for path in "ab":
    c.request("GET", "/leaf/" + path)
    assert c.getresponse().read() == b"ok\\n"
"""],
        "go": lambda: [servers.go_binary(traced), f"{url}a", f"{url}b"],
    }[kind]()
    asks = traced.process(program, kind, env=env)
    asks.wait(30)
    assert asks.child.returncode == 0, asks.log.read_text()
    until(lambda: len(traced.agent.spans()) >= 6, lambda: traced.agent.spans())
    expect(traced.agent.stop(expect_log="TLS that is not traced"), [
        client(kind, "CONNECT", 200, server("proxy", "CONNECT", 200, link="socket"), link="")]
        + [client(kind, f"GET /leaf/{c}", 200, link="", tls__client__server_name="localhost", **V) for c in "ab"]
        + [server("leaf", f"GET /leaf/{c}", 200, link="", **V) for c in "ab"])


def test_decrypted_by_another(traced, need):
    """A thread that decrypts what another received has said nothing of how it works: it is not its request's, though it
    holds no other."""
    need("nginx")
    leaf = servers.nginx(traced, "leaf")
    app = servers.app(traced, "engine", "engine", to=leaf.port, tls=True)
    until(lambda: traced.agent.metrics()["weft_tls_libraries"], "the library is not probed")
    with Raw(app.port, tls=True) as a, Raw(app.port, tls=True) as b:
        for raw, token in (a, "a"), (b, "b"):
            raw.send(request(f"/call/{token}"))
        assert a.reply()[0] == b.reply()[0] == 200
    expect(traced.agent.stop(), [
        x for c in "ab" for x in (
            server("engine", f"GET /call/{c}", 200, link="", url__scheme="https", **V),
            client("engine", f"GET /leaf/{c}", 200, server("leaf", f"GET /leaf/{c}", 200, link="socket"), link=""))])


def test_tunnel_of_dotnet(traced, need):
    """The same where the order of calls does not tell: the hello inside it does."""
    need("apache", "nginx", "dotnet")
    leaf = servers.nginx(traced, "leaf", tls=True)
    proxy = servers.apache(traced, "proxy", "event", f"ProxyRequests On\nAllowCONNECT {leaf.port}\n", ("proxy", "proxy_connect"))
    app = servers.app(traced, "dotnet", "dotnet", to=leaf.port, tls=True, env={"https_proxy": f"http://127.0.0.1:{proxy.port}"})
    until(lambda: traced.agent.metrics()["weft_tls_libraries"] >= 2, "not both are probed")
    for i in range(8):
        assert get(app.port, f"/call/{i}", tls=True)[0] == 200
    spans = traced.agent.stop(expect_log="TLS that is not traced")
    check_sane(spans)
    # what of it is linked depends on how quiet the process was
    assert collections.Counter((s.service, s.kind, s.path) for s in spans) == collections.Counter(
        [("dotnet", "client", ""), ("proxy", "server", "")] * 8 + [
            x for i in range(8) for x in (("dotnet", "server", f"/call/{i}"), ("dotnet", "client", f"/leaf/{i}"),
                                          ("leaf", "server", f"/leaf/{i}"))])


def test_many_short_ones(traced, need):
    """A thousand processes (emulated, a hundred), each with a TLS connection of its own: each is seen, and nothing stays
    behind."""
    count = 1000 if SCALE == 1 else 100
    need("nginx", "curl")
    leaf = servers.nginx(traced, "leaf", tls=True)
    # curl maps GnuTLS as well, for another protocol
    traced.process([servers.python(), "-c", "import ctypes, time; ctypes.CDLL('libgnutls.so.30'); time.sleep(300)"], "idle")
    until(lambda: traced.agent.metrics()["weft_tls_libraries"] == 2, "not both are probed")
    url = f"https://localhost:{leaf.port}/leaf/a"
    ask(traced, "curl", servers.which("curl"), "-4", "-k", "-s", "-o", "/dev/null", url)
    before = traced.agent.metrics(), traced.agent.descriptors()
    ask(traced, "sh", "/bin/sh", "-c", f"""i=0; while [ $i -lt {count} ]; do i=$((i+1))
        {servers.which("curl")} -4 -k -s -o /dev/null {url} & [ $((i % 8)) = 0 ] && wait; done; wait""")
    m = traced.agent.settle()
    for name in ("weft_tls_libraries", "weft_map_bytes"):
        assert m[name] == before[0][name], name
    until(lambda: traced.agent.descriptors() <= before[1], "descriptors are left open")
    expect_counts(traced.agent.stop(), [
        (client("curl", "GET /leaf/a", 200, server("leaf", "GET /leaf/a", 200)), 1),
        (client("sh", "GET /leaf/a", 200, server("leaf", "GET /leaf/a", 200)), count)])


@pytest.mark.parametrize("static", [False, True], ids=["openssl", "boringssl"])
@pytest.mark.parametrize("connections", [1, 8])
def test_netty(traced, need, connections, static):
    """Java over OpenSSL, or the BoringSSL that Netty brings: its event loops hand it bytes."""
    need("java", *["mvn"] * static)
    if not static and not servers.TCNATIVE.exists():
        pytest.skip(f"{servers.TCNATIVE} is not there")
    app = servers.netty(traced, "netty", static)
    until(lambda: traced.agent.metrics()["weft_tls_libraries"], "OpenSSL is not probed")
    raws = [Raw(app.port, tls=True) for _ in range(connections)]
    for i in range(4):
        for raw in raws:
            raw.send(request(f"/{i}"))
        for raw in raws:
            assert raw.reply()[0] == 200
    for raw in raws:
        raw.close()
    expect_counts(traced.agent.stop(), [(server("netty", f"GET /{i}", 200), connections) for i in range(4)])


def test_out_of_descriptors(lab, hooks):
    """weft takes as many as it may. A library that finds none is probed when there are some again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        lab.agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    agent = lab.agent
    limits = resource.prlimit(agent.child.pid, resource.RLIMIT_NOFILE)
    assert limits == (hard, hard)
    # weft is through with the process by the time that this loads the library, and looks again
    lab.process([servers.python(), "-c", "import ctypes, time; time.sleep(2); ctypes.CDLL('libgnutls.so.30'); time.sleep(300)"],
                "idle")
    until(lambda: agent.metrics()["weft_processes_traced"] == 1, "the process is not known")
    time.sleep(1)
    # enough to look at a process, not for all probes
    resource.prlimit(agent.child.pid, resource.RLIMIT_NOFILE, (agent.descriptors() + 2, hard))
    until(lambda: "Too many open files" in agent.log(), agent.log, timeout=30)
    resource.prlimit(agent.child.pid, resource.RLIMIT_NOFILE, limits)
    assert not re.search("is probed: .* library=GnuTLS", agent.log())
    until(lambda: re.search("is probed: .* library=GnuTLS", agent.log()), agent.log, timeout=30)
    expect(agent.stop(expect_log="Too many open files"), [])


def test_unreadable(traced, need):
    """Java's own TLS: said once, with the reason, and no span."""
    need("java")
    pem = servers.certificate(traced)
    store = traced.dir("store") / "store.p12"
    ask(traced, "openssl", servers.which("openssl"), "pkcs12", "-export", "-in", pem / "cert.pem", "-inkey", pem / "key.pem",
        "-out", store, "-passout", "pass:secret")
    app = servers.app(traced, "java", "java", env={"KEYSTORE": str(store)})
    for _ in range(3):
        assert get(app.port, "/leaf/t", tls=True)[0] == 200
    until(lambda: "TLS that is not traced" in traced.agent.log(), "nothing is said")
    doctor = subprocess.run([paths.WEFT, "doctor", "--json"], capture_output=True, check=False)
    tls = next(c for c in json.loads(doctor.stdout)["checks"] if c["name"] == "tls")
    assert tls["state"] == "note" and f" {app.pid}" in tls["detail"], tls
    said = [line for line in traced.agent.log().splitlines() if "TLS that is not traced" in line]
    assert len(said) == 1 and "JSSE" in said[0] and f"pid={app.pid}" in said[0], said
    until(lambda: traced.agent.metrics()["weft_connections_tls_unread_total"] == 3, "not all are counted")
    expect(traced.agent.stop(expect_log="TLS that is not traced"), [])


def test_rust(traced, need):
    """A client over rustls: said once, with the reason; the server's side is there."""
    need("nginx")
    uv = servers.uv(traced)
    leaf = servers.nginx(traced, "leaf", tls=True)
    until(lambda: traced.agent.metrics()["weft_tls_libraries"], "the library is not probed")
    asks = traced.process([uv, "pip", "install", "--no-config", "--no-cache", "--dry-run", "--system", "--break-system-packages",
                           "--allow-insecure-host", "localhost", "--index-url", f"https://localhost:{leaf.port}/leaf", "nothing"],
                          "uv", env={"UV_HTTP_RETRIES": "0"})
    asks.wait(60)
    until(lambda: "TLS that is not traced" in traced.agent.log(), lambda: asks.log.read_text())
    said = [line for line in traced.agent.log().splitlines() if "TLS that is not traced" in line]
    assert len(said) == 1 and "rustls" in said[0] and f"pid={asks.pid}" in said[0], said
    expect(traced.agent.stop(expect_log="TLS that is not traced"), [server("leaf", "GET /leaf/nothing/", 200, link="", **V)])
