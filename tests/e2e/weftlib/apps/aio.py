# SPDX-License-Identifier: Apache-2.0
"""One event loop, everything concurrent."""
import asyncio
import os
import ssl

NEXT, DEAD = int(os.environ.get("NEXT", 0)), int(os.environ.get("DEAD", 9))
POOL, BEAT = int(os.environ.get("POOL", 0)), int(os.environ.get("BACKGROUND_MS", 0))
TLS = os.environ.get("TLS")  # a directory with cert.pem and key.pem
idle = None


def context(of_server):
    if not TLS:
        return None
    if not of_server:
        return ssl.create_default_context(cafile=f"{TLS}/cert.pem")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(f"{TLS}/cert.pem", f"{TLS}/key.pem")
    return made


CALLS = context(False)


async def exchange(reader, writer, path):
    writer.write(f"GET {path} HTTP/1.1\r\nHost: next\r\n\r\n".encode())
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    await reader.readexactly(int(fields[b"content-length"]))
    return int(head.split()[1]), fields.get(b"connection") != b"close"


async def fetch(path, pooled=True):
    pooled = pooled and POOL
    conn = await idle.get() if pooled else None
    try:
        if conn is None:
            conn = await asyncio.open_connection("127.0.0.1", NEXT, ssl=CALLS, server_hostname=TLS and "localhost")
        status, keep = await exchange(*conn, path)
        if not (keep and pooled):
            conn[1].close()
            conn = None
        return status
    finally:
        if pooled:
            idle.put_nowait(conn)


async def work(path):
    op, token, *more = path.split("?")[0].strip("/").split("/")
    if op == "call":
        await fetch(f"/leaf/{token}")
    elif op == "fan":
        await asyncio.gather(*(fetch(f"/leaf/{token}.{x}", pooled=False) for x in "ab"))
    elif op == "timer":
        await asyncio.sleep(0.003)
        await fetch(f"/leaf/{token}")
    elif op == "retry":
        if await fetch(f"/fail/{token}.1") == 503:
            await fetch(f"/leaf/{token}.2")
    elif op == "refuse":
        try:
            await asyncio.open_connection(more[0], DEAD)
        except ConnectionRefusedError:
            pass
        await fetch(f"/leaf/{token}.2")
    elif op == "after":
        return lambda: fetch(f"/leaf/{token}.after")
    return None


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            after = await work(head.split()[1].decode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            await writer.drain()
            if after:
                await after()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def beat():
    n = 0
    while True:
        await asyncio.sleep(BEAT / 1000)
        n += 1
        await fetch(f"/leaf/bg.{n}", pooled=False)


async def main():
    global idle
    idle = asyncio.LifoQueue()
    for _ in range(POOL):
        idle.put_nowait(None)
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]), backlog=256, ssl=context(True))
    background = asyncio.create_task(beat()) if BEAT else None
    await server.serve_forever()
    del background

asyncio.run(main())
