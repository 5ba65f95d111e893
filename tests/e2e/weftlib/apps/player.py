# SPDX-License-Identifier: Apache-2.0
"""Plays one end of a connection from a script: player.py listen|connect HOST PORT SCRIPT

A script is a JSON list of steps: ["send", TEXT] ["until", MARK] ["take", N] ["sleep", S] ["shut"]
["close"] ["reset"] ["eof"]. Text is latin-1. Each send is one call.
"""
import json
import socket
import struct
import sys
import time

mode, host, port, script = sys.argv[1:]
steps = json.load(open(script))
family = socket.AF_INET6 if ":" in host else socket.AF_INET
sock = socket.socket(family, socket.SOCK_STREAM)
if mode == "listen":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((host, int(port)))
    sock.listen(1)
    listener, (sock, _) = sock, sock.accept()
    listener.close()
else:
    sock.connect((host, int(port)))
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sock.settimeout(20)
buf = b""


def more():
    global buf
    got = sock.recv(65536)
    if not got:
        sys.exit(3)
    buf += got


def take(n):
    global buf
    while len(buf) < n:
        more()
    buf = buf[n:]


for step, *args in steps:
    try:
        if step == "send":
            sock.sendall(args[0].encode("latin-1"))
        elif step == "pieces":
            for byte in args[0].encode("latin-1"):
                sock.sendall(bytes([byte]))
        elif step == "until":
            mark = args[0].encode("latin-1")
            while mark not in buf:
                more()
            take(buf.index(mark) + len(mark))
        elif step == "take":
            take(args[0])
        elif step == "sleep":
            time.sleep(args[0])
        elif step == "shut":
            sock.shutdown(socket.SHUT_WR)
        elif step == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            break
        elif step == "eof":
            while sock.recv(65536):
                pass
    except ConnectionError:
        break
sock.close()
