# SPDX-License-Identifier: Apache-2.0
"""One event loop has all sockets, and shakes hands on them. Two threads decrypt, a connection each, and each calls for
the request that the other decrypted."""
import os
import queue
import select
import socket
import ssl
import threading

NEXT, TLS = int(os.environ["NEXT"]), os.environ["TLS"]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{TLS}/cert.pem", f"{TLS}/key.pem")
epoll, woken = select.epoll(), os.eventfd(0)
to_send, calls, both = queue.Queue(), {}, threading.Barrier(2)


class Coder(threading.Thread):
    """Never reads or writes its connection's socket."""

    def __init__(self, conn):
        super().__init__(daemon=True)
        self.conn, self.todo, self.other = conn, queue.Queue(), None
        self.bytes, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.bytes, self.out, server_side=True)
        self.shaken = False

    def run(self):
        while True:
            what, value = self.todo.get()
            try:
                getattr(self, what)(value)
            except ssl.SSLWantReadError:
                pass
            to_send.put((self.conn, self.out.read()))
            os.eventfd_write(woken, 1)

    def shake(self, data):
        self.bytes.write(data)
        try:
            self.tls.do_handshake()
            self.shaken = True
            self.todo.put(("decrypt", b""))  # the request may have come with it
        except ssl.SSLWantReadError:
            pass
        self.conn.send(self.out.read())

    def decrypt(self, data):
        self.bytes.write(data)
        path = self.tls.read(4096).split()[1].decode()
        both.wait()  # neither calls before each has a request
        self.other.todo.put(("call", path.rpartition("/")[2]))

    def call(self, token):
        conn = socket.create_connection(("127.0.0.1", NEXT))
        conn.setblocking(False)
        calls[conn.fileno()] = conn, self.other
        epoll.register(conn, select.EPOLLIN)
        conn.send(f"GET /leaf/{token} HTTP/1.1\r\nHost: next\r\n\r\n".encode())

    def answer(self, _):
        self.tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")


listening = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
epoll.register(listening, select.EPOLLIN)
epoll.register(woken, select.EPOLLIN)
coders = {}
while True:
    for fd, _ in epoll.poll():
        if fd == listening.fileno():
            conn = listening.accept()[0]
            conn.setblocking(False)
            epoll.register(conn, select.EPOLLIN)
            coders[conn.fileno()] = coder = Coder(conn)
            coder.start()
            if len(coders) == 2:
                a, b = coders.values()
                a.other, b.other = b, a
        elif fd == woken:
            os.eventfd_read(woken)
            while not to_send.empty():
                conn, data = to_send.get()
                conn.send(data)
        elif fd in calls:
            conn, coder = calls.pop(fd)
            conn.recv(4096)
            conn.close()
            coder.todo.put(("answer", None))
        else:
            coder = coders[fd]
            data = coder.conn.recv(4096)
            if not data:
                coders.pop(fd).conn.close()
            elif coder.shaken:
                coder.todo.put(("decrypt", data))
            else:
                coder.shake(data)
