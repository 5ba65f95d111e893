# SPDX-License-Identifier: Apache-2.0
"""Connections joined in their middle, while bodies full of HTTP go over them: nothing in a body is
ever a span, and what comes after it is, once that is certain."""
import time

import pytest
from weftlib.clock import pause
from weftlib.http import Raw, request
from weftlib.proc import free_port
from weftlib.spans import client, expect, server

FAKE = b"GET /fake HTTP/1.1\r\nHost: fake\r\n\r\n"
PIECES = 40
UPLOAD = request("/upload", "POST", headers=[("Content-Length", str(PIECES * len(FAKE)))])

SERVER = r"""
import os, select, socket, time
FAKE = b"HTTP/1.1 500 Fake\r\nContent-Length: 4\r\n\r\nfake"
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(16)

def wait():
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.01)

def serve(conn):
    conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buf = b""
    while True:
        while b"\r\n\r\n" not in buf:
            select.select([conn], [], [])  # fentry does not see a call that waits already
            got = conn.recv(65536)
            if not got:
                return
            buf += got
        head, _, buf = buf.partition(b"\r\n\r\n")
        path = head.split()[1]
        length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.startswith(b"Content-Length")), 0)
        if b"100-continue" in head:
            conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if path == b"/early":
            wait()
            conn.sendall(b"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno")
        while len(buf) < length:
            select.select([conn], [], [])
            buf += conn.recv(65536)
        buf = buf[length:]
        if path == b"/late":
            wait()
        if path == b"/download":
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (40 * len(FAKE)))
            for i in range(40):
                conn.sendall(FAKE)
                if i == 5:
                    wait()
        elif path != b"/early":
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

while True:
    serve(listener.accept()[0])
"""


class Stage:
    """The server, traced; the agent comes later."""

    def __init__(self, lab, hooks):
        self.lab, self.hooks = lab, hooks
        self.port = free_port()
        self.go = lab.tmp / "go"
        lab.process(["/usr/bin/python3", "-c", SERVER], "srv",
                    env={"PORT": str(self.port), "GO": str(self.go)}).wait_port(self.port)
        self.raw = Raw(self.port)

    def weft(self):
        pause(0.3)  # for what was sent to be acknowledged, and taken
        self.agent = self.lab.weft(hooks=self.hooks[0], transport=self.hooks[1])
        self.go.touch()

    def pieces(self, n):
        for _ in range(n):
            self.raw.send(FAKE)
            time.sleep(0.002)

    def ends(self, *paths_):
        """What follows, and exactly these of it are spans."""
        self.raw.close()
        expect(self.agent.stop(), [server("srv", f"GET {p}") for p in paths_])


@pytest.fixture
def stage(lab, hooks):
    return Stage(lab, hooks)


@pytest.mark.core
@pytest.mark.parametrize("before", [False, True], ids=["first", "kept-alive"])
@pytest.mark.parametrize("seen", [0, 7, PIECES - 1])
def test_inside_an_upload(stage, before, seen):
    """Also where only the last piece of the body is left, which is answered like a request."""
    if before:
        assert stage.raw.get("/before")[0] == 200
    stage.raw.send(UPLOAD)
    stage.pieces(seen)
    stage.weft()
    stage.pieces(PIECES - seen)
    assert stage.raw.reply()[0] == 200
    for path in ("/a", "/b"):
        assert stage.raw.get(path)[0] == 200
    stage.ends("/a", "/b")


def test_one_piece_is_left(stage):
    """One call, a whole request in itself, and an answer right behind it."""
    assert stage.raw.get("/before")[0] == 200
    stage.raw.send(request("/upload", "POST", headers=[("Content-Length", str(len(FAKE)))]))
    stage.weft()
    stage.raw.send(FAKE)
    assert stage.raw.reply()[0] == 200
    assert stage.raw.get("/a")[0] == 200
    stage.ends("/a")


def test_told_to_continue(stage):
    """The server had the last word, but it was no reply."""
    stage.raw.send(request("/upload", "POST", headers=[
        ("Content-Length", str(len(FAKE))), ("Expect", "100-continue")]))
    stage.raw.until(b"\r\n\r\n")
    stage.weft()
    stage.raw.send(FAKE)
    assert stage.raw.reply()[0] == 200
    assert stage.raw.get("/a")[0] == 200
    stage.ends("/a")


@pytest.mark.core
def test_inside_a_download(stage):
    stage.raw.send(request("/download"))
    stage.raw.until(b"fake")
    stage.weft()
    stage.raw.take(39 * len("HTTP/1.1 500 Fake\r\nContent-Length: 4\r\n\r\nfake"))
    assert stage.raw.get("/a")[0] == 200
    assert stage.raw.get("/b")[0] == 200
    stage.ends("/a", "/b")


@pytest.mark.core
def test_idle(stage):
    """Its first exchange counts, of two that are pipelined both do."""
    assert stage.raw.get("/before")[0] == 200
    stage.weft()
    stage.raw.send(request("/a") + request("/b"))
    assert stage.raw.reply()[0] == stage.raw.reply()[0] == 200
    stage.ends("/a", "/b")


def test_unused(stage):
    """Connected before, and not a byte sent yet."""
    stage.weft()
    assert stage.raw.get("/a")[0] == 200
    stage.ends("/a")


def test_reply_is_due(stage):
    """The request was before, its reply comes after: no span; the next exchange is one."""
    assert stage.raw.get("/before")[0] == 200
    stage.raw.send(request("/late"))
    stage.weft()
    assert stage.raw.reply()[0] == 200
    assert stage.raw.get("/a")[0] == 200
    stage.ends("/a")


def test_upload_goes_on_behind_its_reply(stage):
    stage.raw.send(request("/early", "POST", headers=[("Content-Length", str(PIECES * len(FAKE)))]))
    stage.weft()
    assert stage.raw.reply()[0] == 413
    stage.pieces(PIECES)
    assert stage.raw.get("/lost")[0] == 200
    assert stage.raw.get("/a")[0] == 200
    stage.ends("/a")


CLIENT = r"""
import os, socket, sys, time
sock = socket.create_connection(("127.0.0.1", int(os.environ["PORT"])))
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
upload, fake, *requests = [text.encode("latin-1") for text in sys.argv[1:]]
sock.sendall(upload)
sock.sendall(fake)
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.01)

def until_reply():
    got = b""
    while not got.endswith(b"ok"):
        got += sock.recv(65536)

for _ in range(39):
    sock.sendall(fake)
until_reply()
for request in requests:
    sock.sendall(request)
    until_reply()
"""


@pytest.mark.core
def test_client_inside_an_upload(lab, hooks):
    """The same at the client's end, where the first exchange after it only tells where it stands."""
    port, go = free_port(), lab.tmp / "go"
    env = {"PORT": str(port), "GO": str(go)}
    lab.process(["/usr/bin/python3", "-c", SERVER], "srv", traced=False, env=env).wait_port(port)
    asks = [request(path).decode() for path in ("/lost", "/a", "/b")]
    player = lab.process(["/usr/bin/python3", "-c", CLIENT, UPLOAD.decode(), FAKE.decode(), *asks], "cli", env=env)
    pause(0.3)
    agent = lab.weft(hooks=hooks[0], transport=hooks[1])
    go.touch()
    assert player.wait(20) == 0
    expect(agent.stop(), [client("cli", f"GET {p}") for p in ("/a", "/b")])
