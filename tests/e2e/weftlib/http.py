# SPDX-License-Identifier: Apache-2.0
"""HTTP by hand: exact bytes in exact calls."""
import socket
import ssl

from .clock import patience


def request(path="/", method="GET", host="t", minor=1, headers=(), body=b"", close=False):
    lines = [f"{method} {path} HTTP/1.{minor}", f"Host: {host}"]
    lines += [f"{k}: {v}" for k, v in headers]
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Raw:
    """A client connection that sends what it is told to."""

    def __init__(self, port, host="127.0.0.1", timeout=10, source=None, tls=False):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(patience(timeout))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect((host, port))
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        self.buf = b""

    def send(self, *pieces):
        for piece in pieces:
            self.sock.sendall(piece)
        return self

    def more(self):
        got = self.sock.recv(65536)
        self.buf += got
        return bool(got)

    def take(self, n):
        while len(self.buf) < n:
            if not self.more():
                raise EOFError(self.buf)
        out, self.buf = self.buf[:n], self.buf[n:]
        return out

    def until(self, mark):
        while mark not in self.buf:
            if not self.more():
                raise EOFError(self.buf)
        return self.take(self.buf.index(mark) + len(mark))

    def rest(self):
        while self.more():
            pass
        out, self.buf = self.buf, b""
        return out

    def reply(self, head_only=False):
        """One final reply: (status, headers, body)."""
        while True:
            head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            status = int(head[0].split()[1])
            if status >= 200 or status == 101:
                break
        headers = {k.strip().lower(): v.strip() for k, _, v in (h.partition(":") for h in head[1:] if h)}
        if head_only or status in (101, 204, 304):
            return status, headers, b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.until(b"\r\n").split(b";")[0], 16):
                body += self.take(size)
                self.take(2)
            while self.until(b"\r\n") != b"\r\n":
                pass
            return status, headers, body
        if "content-length" in headers:
            return status, headers, self.take(int(headers["content-length"]))
        return status, headers, self.rest()

    def get(self, path="/", **more):
        self.send(request(path, **more))
        return self.reply()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with a RST."""
        import struct
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def get(port, path="/", host="127.0.0.1", tls=False, **more):
    """One request on a connection of its own."""
    with Raw(port, host, tls=tls) as raw:
        return raw.get(path, **more)
