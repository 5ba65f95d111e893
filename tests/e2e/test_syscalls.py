# SPDX-License-Identifier: Apache-2.0
"""Every call that moves bytes on a TCP socket: exact spans, or a hole that is counted by its cause,
never wrong bytes. syscalls.c speaks HTTP with itself through the chosen calls."""
import socket
import struct
import time

import pytest
from weftlib import paths, servers
from weftlib.proc import free_port
from weftlib.spans import check_sane, client, expect, server, span_key

SENDS = ["write", "writev", "pwritev2", "sendto", "sendmsg", "sendmmsg1", "sendfile", "splice", "more", "cork",
         "bytes", "zerocopy"]
RECVS = ["read", "readv", "preadv2", "recvfrom", "recvmsg", "recvmmsg1", "peek", "trunc", "waitall", "splice",
         "bytes"]
PAIRS = [(s, "read") for s in SENDS] + [("write", r) for r in RECVS[1:]] + \
        [("sendmsg", "recvmsg"), ("writev", "readv"), ("sendfile", "splice"), ("sendmmsg1", "recvmmsg1")]

# (send, receive, story): the counters of which one at least must say why something may be missing.
HOLES = {
    ("sendfile_all", "read", "plain"): ("no_copy_file",),
    ("sendmmsg", "read", "plain"): ("no_copy_batch",),
    ("write", "recvmmsg", "plain"): ("no_copy_batch",),
    ("write", "trunc_all", "plain"): ("no_copy_trunc",),
    ("uring", "read", "plain"): ("no_copy_uring",),
    ("write", "uring", "plain"): ("no_copy_uring",),
    ("write", "read", "urgent"): ("skipped_oob",),
    ("write", "read", "mptcp"): ("unnumbered",),
}


def rounds(service, n=3):
    return [client(service, f"POST /call/r{c}", 200, server(service, f"POST /call/r{c}", link="socket"))
            for c in "abcdefg"[:n]]


def run(lab, *args, program="syscalls", name="sys"):
    path = paths.built(program)
    if not path:
        pytest.skip(f"{program} is not built (no 32-bit libraries?)" if program != "syscalls"
                    else "syscalls is not built")
    process = lab.process([path, *args], name, brief=True)
    status = process.wait(30)
    if status == 77:
        pytest.skip(process.output().strip())
    assert status == 0, process.output()


def play(lab):
    """For the batch: every pair under one agent, a service each."""
    for send, recv in PAIRS:
        run(lab, send, recv, name=f"sys:{send}-{recv}")


@pytest.mark.core
@pytest.mark.parametrize("send,recv", PAIRS, ids=["-".join(p) for p in PAIRS])
def test_exact(batch, hooks, send, recv):
    spans = batch[0].get(f"{send}-{recv}", [])
    expect(spans, rounds(f"sys:{send}-{recv}"))
    for s in spans:
        # Splicing out of a socket is not seen at once: then a size can be unknown when the span ends.
        known = (3000, None) if recv == "splice" else (3000,)
        assert s.attrs.get("http.request.body.size") in known, s.attrs
        assert s.attrs.get("http.response.body.size") in known, s.attrs


@pytest.mark.core
@pytest.mark.parametrize("send,recv,story", HOLES, ids=["-".join(h) for h in HOLES])
def test_hole(traced, hooks, send, recv, story):
    """What cannot be seen whole is counted, and what is exported all the same is right."""
    run(traced, send, recv, story)
    metrics = traced.agent.settle()
    spans = traced.agent.stop()
    never_wrong(spans)
    if hooks[0] == "fentry" and ("uring" in (send, recv) or "mmsg" in send + recv):
        expect(spans, rounds("sys"))  # no hole at all
        return
    counted = sum(metrics.kernel(name) for name in HOLES[send, recv, story])
    if hooks[0] == "syscalls" and "uring" in send + recv:
        # No system call returned: the missing numbers tell.
        counted += metrics["weft_hole_bytes_total"] + metrics["weft_replies_unpaired_total"]
    whole = len(spans) == 6 and hooks[0] == "syscalls" and "mmsg" in send + recv
    assert counted > 0 or whole, f"{counted} counted, {len(spans)} spans"


def never_wrong(spans):
    check_sane(spans)
    for s in spans:
        service, kind, method, path, code, error = span_key(s)
        assert (service, method) == ("sys", "POST") and path in ("/call/ra", "/call/rb", "/call/rc"), s
        assert code in (0, 200), s
        assert not error or error in ("connection_closed", "aborted"), s
    keys = [(s.kind, s.path) for s in spans]
    assert len(keys) == len(set(keys)), spans


@pytest.mark.core
def test_compat(traced, hooks):
    """A 32-bit caller is told from others by each architecture in its own way."""
    run(traced, "write", "read", program="syscalls32")
    metrics = traced.agent.settle()
    spans = traced.agent.stop()
    never_wrong(spans)
    if hooks[0] == "fentry":
        expect(spans, rounds("sys"))  # no hole at all
    elif hooks[0] == "sock":
        assert metrics.kernel("no_copy_compat") > 0
    else:
        assert not spans  # the kernel fires no such tracepoint for a 32-bit call


@pytest.mark.core
def test_fin_with_last_bytes(traced):
    run(traced, "write", "read", "fin")
    expect(traced.agent.stop(), rounds("sys", 1))


@pytest.mark.core
def test_half_close(traced):
    run(traced, "write", "read", "half")
    expect(traced.agent.stop(), rounds("sys", 1))


def test_two_threads_on_one_socket(traced):
    """Both read the server's socket, a few bytes each: a conflict makes a hole, not a wrong byte."""
    run(traced, "write", "read", "threads")
    spans = traced.agent.stop()
    never_wrong(spans)
    assert sum(s.kind == "client" for s in spans) == 3


@pytest.mark.core
def test_reset(traced):
    run(traced, "write", "read", "reset")
    expect(traced.agent.stop(), [
        client("sys", "POST /call/ra", 0, server("sys", "POST /call/ra", 0, error="aborted"),
               error="connection_reset")])


def test_no_reply(traced):
    """The client gives up after a while."""
    run(traced, "write", "read", "mute")
    spans = traced.agent.stop()
    expect(spans, [client("sys", "POST /call/ra", 0, server("sys", "POST /call/ra", 0, error="aborted"),
                          error="aborted")])
    assert all(s.end - s.start > 150e6 for s in spans if s.kind == "client"), spans


CONNECT = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.settimeout(float(sys.argv[3]))
try:
    s.connect((sys.argv[1], int(sys.argv[2])))
    print("connected")
except OSError as e:
    print(type(e).__name__)
"""


def connect(lab, host, port, patience=5):
    process = lab.process(["/usr/bin/python3", "-c", CONNECT, host, port, patience], "py", brief=True)
    process.wait(20)
    return process.output().strip()


@pytest.mark.core
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_refused(traced, host):
    port = free_port()
    assert connect(traced, host, port) == "ConnectionRefusedError"
    spans = traced.agent.stop()
    expect(spans, [client("py", " ", 0, error="connection_refused", server__address=host, server__port=port)])
    assert spans[0].name == "connect"


def test_blackholed(traced):
    """A server whose queue of unaccepted connections is full answers no SYN; the caller gives up."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        time.sleep(0.1)
        assert connect(traced, "127.0.0.1", port, 0.4) == "TimeoutError"
        for filler in fillers:
            filler.close()
    spans = traced.agent.stop()
    expect(spans, [client("py", " ", 0, error="timeout", server__port=port)])
    assert 0.3e9 < spans[0].end - spans[0].start < 2e9


def test_reset_in_the_reply(traced):
    """The server resets when half of its reply is out: the status is known, the end is an error."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        curl = traced.process(["curl", "-s", f"http://127.0.0.1:{port}/x"], "curl", brief=True)
        conn, _ = listener.accept()
        conn.recv(4096)
        conn.sendall(half)
        time.sleep(0.1)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        conn.close()
        curl.wait()
    expect(traced.agent.stop(), [client("curl", "GET /x", 200, error="connection_reset")])


KTLS = """
import socket, struct
listener, caller = socket.socket(), socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(1)
caller.connect(listener.getsockname())
caller.setsockopt(socket.IPPROTO_TCP, 31, b"tls")
caller.setsockopt(282, 1, struct.pack("<HH", 0x303, 51) + bytes(36))
caller.sendall(b"GET /plain HTTP/1.1\\r\\nHost: t\\r\\n\\r\\n")
"""


def test_ktls(traced):
    """TLS in the kernel: the bytes on the wire are not the bytes of the call."""
    with open("/proc/sys/net/ipv4/tcp_available_ulp") as ulps:
        if "tls" not in ulps.read().split():
            pytest.skip("the kernel has no tls ULP")
    process = traced.process(["/usr/bin/python3", "-c", KTLS], "py")
    assert process.wait(20) == 0, process.output()
    metrics = traced.agent.settle()
    assert metrics.kernel("unnumbered") > 0
    assert {s.path for s in traced.agent.stop()} <= {"/plain"}


TIMESTAMPS = """
import socket, struct, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.setsockopt(socket.SOL_SOCKET, 37, struct.pack("I", 1 << 8 | 1 << 9 | 1 << 4))  # SCHED, ACK, SOFTWARE
got = 0
for c in "abc":
    s.sendall(f"GET /leaf/{c} HTTP/1.1\\r\\nHost: t\\r\\n\\r\\n".encode())
    time.sleep(0.05)
    while True:
        try:
            got += len(s.recvmsg(4096, 1024, socket.MSG_ERRQUEUE)[0])
        except BlockingIOError:
            break
    s.recv(4096)
print(got)
"""


@pytest.mark.core
def test_error_queue(traced, need):
    """Copies of sent packets that the error queue gives are no bytes of the stream."""
    need("nginx")
    leaf = servers.nginx(traced, "leaf")
    process = traced.process(["/usr/bin/python3", "-c", TIMESTAMPS, leaf.port], "py", brief=True)
    assert process.wait(10) == 0, process.output()
    if int(process.output()) == 0:
        pytest.skip("the kernel gives time stamps without packets")
    metrics = traced.agent.settle()
    assert metrics.kernel("skipped_oob") > 0 and metrics["weft_hole_bytes_total"] == 0, metrics.text
    expect(traced.agent.stop(), [client("py", f"GET /leaf/{c}", 200, server("leaf", f"GET /leaf/{c}")) for c in "abc"])
