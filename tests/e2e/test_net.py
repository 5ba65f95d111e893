# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: the two ends of a connection on one host, with routers, translated addresses and
equal loopback addresses between them."""
import os
import socket
import subprocess
import time

import pytest
from weftlib.clock import SCALE, patience
from weftlib.spans import check_sane

CONNS = 8  # at a time
PORT = 8080

SERVER = """
import socket, sys, threading
host, port = sys.argv[1], int(sys.argv[2])
listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((host, port))
listener.listen(4096)  # all that may come at once: what does not fit is reset
def serve(conn):
    head = b""
    while got := conn.recv(4096):
        head += got
        if head.endswith(b"\\r\\n\\r\\n"):
            head = b""
            conn.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    conn.close()
while True:
    conn, _ = listener.accept()
    threading.Thread(target=serve, args=(conn,), daemon=True).start()
"""

# argv: host, port, prefix of the paths, connections, requests on each; stdin: go
CLIENT = """
import os, socket, sys, threading, traceback
def failed(what):
    traceback.print_exception(what.exc_type, what.exc_value, what.exc_traceback)
    os._exit(1)
threading.excepthook = failed
host, port, what, conns, each = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
def run(n):
    conn = socket.create_connection((host, port), timeout=20)
    for i in range(each):
        if i == 1 and what == "older":
            print("waiting", flush=True)
            sys.stdin.readline()
        conn.sendall(f"GET /{what}/{n}/{i} HTTP/1.1\\r\\nHost: t\\r\\n\\r\\n".encode())
        reply = b""
        while not reply.endswith(b"\\r\\n\\r\\nok"):
            reply += conn.recv(4096) or os._exit(2)
    conn.close()
threads = [threading.Thread(target=run, args=(n,)) for n in range(conns)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

NAT = """
table ip nat {
  chain out {
    type nat hook postrouting priority 100
    oifname "s" masquerade
  }
  chain in {
    type nat hook prerouting priority -100
    ip daddr 10.99.0.1 tcp dport 80 dnat to 10.77.2.2:8080
  }
}
"""


class Net:
    """client - router - server, a namespace each."""

    def __init__(self):
        self.names = {who: f"weft-{os.getpid()}-{who}" for who in ("client", "router", "server")}
        self.made = []

    def ip(self, *args):
        subprocess.run(["ip", *args], check=True, capture_output=True)

    def make(self):
        router = self.names["router"]
        for name in self.names.values():
            self.ip("netns", "add", name)
            self.made.append(name)
            self.ip("-n", name, "link", "set", "lo", "up")
        for net, who in ((1, "client"), (2, "server")):
            self.ip("-n", router, "link", "add", who[0], "type", "veth", "peer", "name", "e0",
                    "netns", self.names[who])
            for name, link, host in ((router, who[0], 1), (self.names[who], "e0", 2)):
                self.ip("-n", name, "addr", "add", f"10.77.{net}.{host}/24", "dev", link)
                self.ip("-n", name, "-6", "addr", "add", f"fd77:{net}::{host}/64", "dev", link, "nodad")
                self.ip("-n", name, "link", "set", link, "up")
            self.ip("-n", self.names[who], "route", "add", "default", "via", f"10.77.{net}.1")
            self.ip("-n", self.names[who], "-6", "route", "add", "default", "via", f"fd77:{net}::1")
        for knob in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            subprocess.run([*self.into("router"), "sh", "-c", f"echo 1 >/proc/sys/net/{knob}"], check=True)

    def into(self, who):
        return ["ip", "netns", "exec", self.names[who]]

    def translate(self):
        """Whether the router could be told to masquerade, and to give the server a second address."""
        return subprocess.run([*self.into("router"), "nft", "-f", "-"], input=NAT.encode(),
                              capture_output=True).returncode == 0

    def remove(self):
        for name in self.made:
            self.ip("netns", "del", name)


@pytest.fixture
def net(lab, need):
    need("netns")
    it = Net()
    try:
        it.make()
    except subprocess.CalledProcessError as e:
        it.remove()
        pytest.skip(f"no network namespaces: {e.stderr.decode().strip()}")
    yield it
    it.remove()


def serve(lab, net, where, host, port, name):
    process = lab.process([*net.into(where), "/usr/bin/python3", "-c", SERVER, host, port], name)
    table = f"/proc/{process.pid}/net/tcp{'6' if ':' in host else ''}"
    end = time.monotonic() + 10
    while not any(f":{port:04X} " in line and " 0A " in line for line in open(table)):
        assert time.monotonic() < end and process.child.poll() is None, process.output()
        time.sleep(0.01)
    return process


def call(lab, net, where, host, port, what, conns=CONNS, each=25, stdin=None):
    return lab.process([*net.into(where), "/usr/bin/python3", "-c", CLIENT, host, port, what, conns, each],
                       what, stdin=stdin)


def linked(spans, what, service, n):
    """n calls of a client, each with its server's end; how many of these know the call. A parent is
    always the client's span of the same request, or none."""
    mine = [s for s in spans if s.path.startswith(f"/{what}/")]
    calls = {s.id: s for s in mine if s.kind == "client"}
    served = [s for s in mine if s.kind == "server"]
    assert len(calls) == len(served) == n, (what, len(calls), len(served))
    assert len({s.path for s in served}) == n
    assert {s.service for s in served} == {service} and {s.service for s in calls.values()} == {what}
    for s in served:
        assert not s.parent or (calls[s.parent].path == s.path and s.link == "socket"), s
    return sum(bool(s.parent) for s in served)


@pytest.mark.core
def test_across_namespaces(lab, net, hooks):
    """A router between the ends, IPv4 and IPv6."""
    serve(lab, net, "server", "::", PORT, "leaf")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    for host, what in (("10.77.2.2", "v4"), ("fd77:2::2", "v6")):
        assert call(lab, net, "client", host, PORT, what).wait() == 0
    spans = agent.stop()
    check_sane(spans)
    for what in ("v4", "v6"):
        assert linked(spans, what, "leaf", CONNS * 25) == CONNS * 25


@pytest.mark.core
def test_changes_inside_changes(lab, net, hooks):
    """Each CPU's packets are taken by an interrupt of either, so that sockets change in the middle of what is told of
    another's change: nothing of that is missed."""
    subprocess.run([*net.into("client"), "sh", "-c", "for f in /sys/class/net/lo/queues/*/rps_cpus; do echo 3 >$f; done"],
                   check=True)
    agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    serve(lab, net, "client", "127.0.0.1", PORT, "leaf")  # a listener that weft has numbered
    conns = 300 if SCALE == 1 else 50
    calls = [call(lab, net, "client", "127.0.0.1", PORT, f"short{i}", conns=conns, each=1) for i in range(4)]
    assert [c.wait(patience(30)) for c in calls] == [0] * 4
    spans = agent.stop()
    check_sane(spans)
    # Linux 6.18 does not always run its tracepoints there, twins or not
    assert sum(linked(spans, f"short{i}", "leaf", conns) for i in range(4)) >= 4 * conns - max(2, 4 * conns // 100)


@pytest.mark.core
def test_translated_addresses(lab, net, need, hooks):
    """What the server takes for its client is the router, and what the client calls is not the
    server's address: the numbers of both directions tell them."""
    need("nft")
    if not net.translate():
        pytest.skip("the kernel translates no addresses")
    serve(lab, net, "server", "::", PORT, "leaf")
    agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    for host, port, what in (("10.77.2.2", PORT, "masqueraded"), ("10.99.0.1", 80, "both")):
        assert call(lab, net, "client", host, port, what).wait() == 0
    spans = agent.stop()
    check_sane(spans)
    for what in ("masqueraded", "both"):
        # a server's end that was over before the client's was recorded waits for nobody
        assert linked(spans, what, "leaf", CONNS * 25) >= 0.95 * CONNS * 25
        assert {s.attrs["network.peer.address"] for s in spans
                if s.kind == "server" and s.path.startswith(f"/{what}/")} == {"10.77.2.1"}


def test_same_loopback_address(lab, net):
    """Two namespaces use the same addresses and ports at once."""
    for where in ("client", "server"):
        serve(lab, net, where, "127.0.0.1", PORT, f"{where}-leaf")
        serve(lab, net, where, "::1", PORT + 1, f"{where}-leaf6")
    agent = lab.weft()
    runs = [call(lab, net, where, host, port, f"{where}{six}", each=50)
            for where in ("client", "server") for host, port, six in (("127.0.0.1", PORT, ""),
                                                                      ("::1", PORT + 1, "6"))]
    for run in runs:
        assert run.wait() == 0, run.output()
    spans = agent.stop()
    check_sane(spans)
    for where in ("client", "server"):
        for six in ("", "6"):
            assert linked(spans, f"{where}{six}", f"{where}-leaf{six}", CONNS * 50) == CONNS * 50


def test_older_connection_in_a_namespace(lab, net):
    """The agent, in a namespace of its own, finds the roles of a connection that was there before."""
    serve(lab, net, "server", "10.77.2.2", PORT, "leaf")
    mine, theirs = socket.socketpair()
    with mine, theirs:
        client = call(lab, net, "client", "10.77.2.2", PORT, "older", 1, 4, stdin=theirs)
        end = time.monotonic() + 10
        while "waiting" not in client.output():
            assert time.monotonic() < end
            time.sleep(0.01)
        agent = lab.weft()
        mine.sendall(b"go\n")
        assert client.wait() == 0
        spans = agent.stop()
    check_sane(spans)
    if agent.hooks == "fentry":  # they do not see the receive that already waited
        [first] = [s for s in spans if s.path == "/older/0/1"]
        assert first.kind == "client" and not first.parent
        spans.remove(first)
    assert linked(spans, "older", "leaf", 2 if agent.hooks == "fentry" else 3) == len(spans) / 2
