# SPDX-License-Identifier: Apache-2.0
"""One run of the agent: started, waited for, read, and ended with its books checked."""
import http.client
import json
import os
import re
import signal
import subprocess
import time

from . import books, hooksets, paths
from .clock import patience, pause
from .proc import free_port
from .spans import Span

TROUBLE = re.compile(r"level=(warn|error)|ERROR: AddressSanitizer|runtime error:|LeakSanitizer")


class Weft:
    def __init__(self, tmp, include=(), hooks=None, transport=None, args=(), env=None,
                 cgroup=None, exporters="json", brief=None):
        self.port, self.hooks = free_port(), hooks or hooksets.DEFAULT[0]
        self.out_path, self.err_path = tmp / f"weft-{self.port}.out", tmp / f"weft-{self.port}.err"
        self.argv = [str(paths.WEFT), "run", "--exporters", exporters, "--hooks", self.hooks,
                     "--transport", transport or hooksets.DEFAULT[1], "--listen", f"127.0.0.1:{self.port}"]
        for rule in include:
            self.argv += ["--include", rule]
        self.argv += [str(a) for a in args]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "WEFT_"))}
        self.env["WEFT_DRAIN"] = f"{patience(5):.0f}s"
        self.env.update(env or {})
        self.cgroup = cgroup
        self.brief = {} if brief is None else brief
        self.child = None
        self.rest = b""
        self.seen = []
        self.offset = 0

    def start(self, timeout=20, until="/readyz"):
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.child = subprocess.Popen(self.argv, env=self.env, stdout=out, stderr=err,
                                          stdin=subprocess.DEVNULL, start_new_session=True,
                                          preexec_fn=self.cgroup.enter if self.cgroup else None)
        end = time.monotonic() + patience(timeout)
        while self.get(until)[0] != 200:
            if self.child.poll() is not None:
                raise RuntimeError(f"weft ended with {self.child.returncode}:\n{self.log()[-3000:]}")
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"weft is not ready:\n{self.log()[-3000:]}")
            time.sleep(0.02)
        return self

    def get(self, path):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience(5))
        try:
            conn.request("GET", path)
            reply = conn.getresponse()
            return reply.status, reply.read().decode()
        except OSError:
            return 0, ""
        finally:
            conn.close()

    def log(self):
        return self.err_path.read_text(errors="replace")

    def metrics(self):
        status, text = self.get("/metrics")
        assert status == 200, f"/metrics: {status}\n{self.log()[-2000:]}"
        return books.Metrics(text)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def spans(self):
        """Every span exported so far."""
        with open(self.out_path, "rb") as out:
            out.seek(self.offset)
            data = out.read()
        self.offset += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            span = Span(json.loads(line))
            if span.service.startswith("unknown_service") and span.pid in self.brief:
                span.service = self.brief[span.pid]
            self.seen.append(span)
        return list(self.seen)

    def wait_spans(self, n, timeout=10, where=lambda span: True):
        end = time.monotonic() + patience(timeout)
        while True:
            found = [s for s in self.spans() if where(s)]
            if len(found) >= n or time.monotonic() > end:
                return found
            time.sleep(0.02)

    def reload(self):
        self.child.send_signal(signal.SIGHUP)

    def kill(self):
        if self.child and self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def settle(self, timeout=5):
        """Waits until nothing more comes out: two equal readings of the metrics, the books balanced."""
        end = time.monotonic() + patience(timeout)
        last = None
        while time.monotonic() < end:
            now = self.metrics()
            state = (now["weft_records_read_total"], now["weft_spans_released_total"],
                     now["weft_kernel_emitted_total"], len(self.spans()))
            if state == last and books.balanced(now):
                return now
            last = state
            pause(0.15)
        return self.metrics()

    def stop(self, expect_log=None, lossless=True, check=True):
        """Drains and ends the agent: exit 0, balanced books, a log without complaints (but for
        lines that match expect_log). Returns all spans."""
        if self.child.poll() is not None:
            raise AssertionError(f"weft ended early with {self.child.returncode}:\n{self.log()[-3000:]}")
        metrics = self.settle() if check else None
        self.child.send_signal(signal.SIGTERM)
        try:
            status = self.child.wait(patience(20))
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"weft does not end on SIGTERM:\n{self.log()[-3000:]}") from None
        assert status == 0, f"weft ended with {status}:\n{self.log()[-3000:]}"
        trouble = [line for line in self.log().splitlines() if TROUBLE.search(line)
                   and not (expect_log and re.search(expect_log, line))]
        assert not trouble, "\n".join(trouble)
        spans = self.spans()
        assert not self.rest, f"half a line at the end: {self.rest!r}"
        if check:
            books.check(metrics, lossless=lossless)
        return spans
