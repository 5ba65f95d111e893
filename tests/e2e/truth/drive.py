# SPDX-License-Identifier: Apache-2.0
"""The untraced driver: requests with tokens, so many at a time, each on a kept connection."""
import itertools
import queue
import ssl
import subprocess
import threading

from weftlib import servers
from weftlib.http import Raw, request

# Phase: the paths that it mixes. The token stands in the path and in a header.
PHASES = {
    "call": ["call"],
    "fan": ["fan"],
    "after": ["after"],
    "timer": ["timer"],
    "retry": ["retry"],
    "refuse": ["refuse"],
    "mix": ["call", "fan", "timer", "leaf", "retry", "refuse"],
}
_serial = itertools.count(1)


def address(n):
    """A loopback address that says which request connects to it."""
    return f"127.{100 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"


def make(op, phase, concurrency):
    """(token, path) of one request, never the same twice."""
    n = next(_serial)
    token = f"{phase}-{concurrency}-{n}"
    return token, f"/{op}/{token}" + (f"/{address(n)}" if op == "refuse" else "")


def drive_h2(port, phase, concurrency, count, ops=None, tls=False):
    """The same by h2load, on one connection: so many streams at a time. Nothing but the path has the token."""
    ops = ops or PHASES[phase]
    done = [(op, *make(op, phase, concurrency)) for op in itertools.islice(itertools.cycle(ops), count)]
    scheme = "https" if tls else "http"
    said = subprocess.run([servers.which("h2load"), "-n", str(count), "-c", "1", "-m", str(concurrency), "-i", "-"], text=True,
                          input="".join(f"{scheme}://127.0.0.1:{port}{path}\n" for _, _, path in done),
                          capture_output=True, check=True, timeout=120).stdout
    assert f"status codes: {count} 2xx" in said, said
    return [(token, op, path) for op, token, path in done]


def drive(port, phase, concurrency, count, ops=None, tls=False):
    """Runs one cell. [(token, op, path)] of what was answered with 200."""
    ops = ops or PHASES[phase]
    work, done = queue.SimpleQueue(), []
    for i in range(count):
        op = ops[i % len(ops)]
        work.put((op, *make(op, phase, concurrency)))

    def worker():
        raw = None
        while True:
            try:
                op, token, path = work.get_nowait()
            except queue.Empty:
                break
            for attempt in (1, 2):
                raw = raw or Raw(port, timeout=60, tls=tls)
                try:
                    raw.send(request(path, headers=[("X-Token", token)]))
                    status, headers, _ = raw.reply()
                    break
                except (EOFError, ConnectionError, ssl.SSLZeroReturnError):
                    # A kept connection that the server had given up.
                    raw.close()
                    raw = None
                    if attempt == 2:
                        raise
            assert status == 200, (path, status)
            done.append((token, op, path))
            if headers.get("connection", "").lower() == "close":
                raw.close()
                raw = None
        if raw:
            raw.close()

    errors = []

    def guarded():
        try:
            worker()
        except Exception as e:  # pylint: disable=broad-except
            errors.append(e)

    threads = [threading.Thread(target=guarded) for _ in range(concurrency)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return done
