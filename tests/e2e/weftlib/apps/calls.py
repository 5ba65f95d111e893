# SPDX-License-Identifier: Apache-2.0
"""The blocking calls that the threaded and the gunicorn app make."""
import http.client
import os
import queue
import socket
import ssl
import threading
import time

NEXT, DEAD = int(os.environ.get("NEXT", 0)), int(os.environ.get("DEAD", 9))
POOL, BEAT = int(os.environ.get("POOL", 0)), int(os.environ.get("BACKGROUND_MS", 0))

TLS = os.environ.get("TLS")  # a directory with cert.pem and key.pem

pool = queue.LifoQueue()
for _ in range(POOL):
    pool.put(None)


def connection():
    if not TLS:
        return http.client.HTTPConnection("127.0.0.1", NEXT, timeout=20)
    return http.client.HTTPSConnection("localhost", NEXT, timeout=20,
                                       context=ssl.create_default_context(cafile=f"{TLS}/cert.pem"))


def secure(server):
    """The server's socket as TLS is to be spoken on it, if it is."""
    if TLS:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{TLS}/cert.pem", f"{TLS}/key.pem")
        # not in accept(), where one slow client would keep all others waiting
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def fetch(path):
    conn = (pool.get() if POOL else None) or connection()
    try:
        conn.request("GET", path)
        reply = conn.getresponse()
        reply.read()
        status = reply.status
    except (OSError, http.client.HTTPException):
        conn.close()
        conn = None
        raise
    finally:
        if POOL:
            pool.put(conn)
        elif conn:
            conn.close()
    return status


def fan(paths):
    conns = [connection() for _ in paths]
    for conn, path in zip(conns, paths):
        conn.request("GET", path)
    for conn in conns:
        conn.getresponse().read()
        conn.close()


def refused(address):
    try:
        socket.create_connection((address, DEAD), timeout=5).close()
    except ConnectionRefusedError:
        pass


def work(path):
    """What a path asks for before the reply. Returns what is left to do after it."""
    op, token, *more = path.split("?")[0].strip("/").split("/")
    if op == "call":
        fetch(f"/leaf/{token}")
    elif op == "fan":
        fan([f"/leaf/{token}.a", f"/leaf/{token}.b"])
    elif op == "timer":
        time.sleep(0.003)
        fetch(f"/leaf/{token}")
    elif op == "retry":
        if fetch(f"/fail/{token}.1") == 503:
            fetch(f"/leaf/{token}.2")
    elif op == "refuse":
        refused(more[0])
        fetch(f"/leaf/{token}.2")
    elif op == "after":
        return lambda: fetch(f"/leaf/{token}.after")
    return None


def background():
    def beat():
        n = 0
        while True:
            time.sleep(BEAT / 1000)
            n += 1
            fan([f"/leaf/bg.{n}"])
    if BEAT:
        threading.Thread(target=beat, daemon=True).start()
