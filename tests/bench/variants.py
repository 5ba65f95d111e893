# SPDX-License-Identifier: Apache-2.0
"""What runs beside a workload: nothing, weft's hooks with empty programs, weft, or another agent."""
import json
import os
import signal
import subprocess
import threading
import time

import bpfstats
from host import PATIENCE, Cgroup, Child, Failure, fetch, free_port, rss_mb, wait_for


class Nothing:
    title = "(a) no agent"

    def __init__(self, args, workload, directory, group):
        self.args, self.workload, self.group = args, workload, Cgroup(group)
        self.cpus = workload.placement.rest
        self.log = directory / f"{type(self).__name__.lower()}.log"
        self.sink_log = directory / "sink.log"
        self.child = None

    def start(self):
        """Returns when it is at work."""

    def begin(self):
        """Right before the load."""

    def end(self, row):
        """After it: what this cost and made goes into the row."""

    def pids(self):
        return self.group.pids()

    def stop(self):
        if self.child:
            self.child.stop()

    def clean(self):
        """In any case, at the end."""
        if self.child:
            self.child.stop()
        self.group.remove()


class Empty(Nothing):
    title = "(b) empty hooks"

    def start(self):
        self.child = Child([self.args.build / "tests/bench/empty_hooks", self.args.hooks,
                            *self.workload.libraries()], cpus=self.cpus,
                           log=self.log, cgroup=self.group, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.child.proc.stdout.readline() != b"ready\n":
            self.child.proc.wait()
            self.child.check()


class Sink(Child):
    """otlp_count: takes OTLP over HTTP, and says what it got at /stats."""

    def __init__(self, build, cpus, log, more=()):
        self.port = free_port()
        super().__init__([build / "tests/bench/otlp_count", *more, self.port], cpus=cpus, log=log,
                         stdout=subprocess.DEVNULL)
        wait_for("the OTLP sink", self.stats, log=log)

    def stats(self):
        return json.loads(fetch(f"http://127.0.0.1:{self.port}/stats"))

    def settled(self, quiet=1.5, seconds=30.0):
        """The counts once they have stood still for a while."""
        end = time.monotonic() + seconds * PATIENCE
        last, since = self.stats(), time.monotonic()
        while time.monotonic() < end:
            time.sleep(0.1)
            now = self.stats()
            if now["spans"] != last["spans"]:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > quiet:
                return now
        raise Failure("spans still arrive long after the load ended")


class Agent(Nothing):
    """Something that sends spans."""
    quiet = 1.5  # seconds without a span after which none is on its way

    def __init__(self, *args):
        super().__init__(*args)
        self.sink = None

    def start(self):
        sizes = ("-a", "http.response.body.size") if self.workload.body_bytes else ()
        self.sink = Sink(self.args.build, self.cpus, self.sink_log, sizes)
        started = time.monotonic()
        self.launch()
        first = self.first_span()
        self.first_ms = (first - started) * 1000 if first else None
        self.baseline = self.sink.settled(self.quiet) if first else self.sink.stats()

    def launch(self):
        raise NotImplementedError

    def env(self):
        """Ours, without what could change an agent, but for where its spans go."""
        return {**{k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "WEFT_"))},
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.sink.port}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}

    def first_span(self):
        """When the first span was at the sink; None if it did not wait for one."""
        raise NotImplementedError

    def knocked(self, seconds):
        """The same, while a client asks all the time."""
        stop = threading.Event()

        def ask():
            while not stop.is_set():
                try:
                    self.workload.knock()
                except OSError:
                    pass  # of the last one, the server may be gone
                stop.wait(0.002)

        client = threading.Thread(target=ask)
        client.start()
        try:
            wait_for("a first span", lambda: self.child.check() and self.sink.stats()["spans"] > 0, seconds,
                     0.005, self.log)
            return time.monotonic()
        finally:
            stop.set()
            client.join()

    def begin(self):
        self.cpu = self.group.cpu_seconds()

    def end(self, row):
        got = self.sink.settled(self.quiet)
        self.child.check()
        new = {key: value - self.baseline[key] for key, value in got.items()}
        row["agent_us"] = (self.group.cpu_seconds() - self.cpu) / row["requests"] * 1e6
        row["peak_mb"], row["rss_mb"] = (rss_mb(self.pids(), which) for which in ("VmHWM", "VmRSS"))
        row["maps_mb"] = bpfstats.map_mb(self.pids())
        if new["spans"]:
            row["span_bytes"] = new["bytes"] / new["spans"]
        asked = 0 if row["served"] is None else 2  # of the server's own counter, before the load and after it
        row["spans"], row["servers"], row["sink"] = new["spans"] - asked, new["servers"] - asked, new
        row["first_ms"] = self.first_ms
        if self.workload.body_bytes:
            row["sizes_right"] = new["sum"] == new["spans"] * self.workload.body_bytes
        self.compare(row)
        if new["bad"]:
            raise Failure(f"{new['bad']} requests to the sink were not understood")

    def compare(self, row):
        """Of requests that a load left behind when it ended, some have a span: those that the server
        says to have begun may."""
        row["expected"] = row["requests"] * self.spans_of_request()
        row["missing"] = max(0, row["expected"] - row["servers"])
        row["extra"] = max(0, row["servers"] - (row["expected"] if row["served"] is None else row["served"]))

    def spans_of_request(self):
        return 1

    def clean(self):
        super().clean()
        if self.sink:
            self.sink.stop()


class Weft(Agent):
    title = "(c) weft"

    def spans_of_request(self):
        return self.workload.spans

    def launch(self):
        self.port = free_port()
        argv = [self.args.build / "agent/weft", "run", "--hooks", self.args.hooks,
                "--include", f"cgroup={self.workload.cgroup.path}", "--exporters", "otlp",
                "--listen", f"127.0.0.1:{self.port}", *self.args.weft_args]
        self.child = Child(argv, cpus=self.cpus, log=self.log, cgroup=self.group, env=self.env(),
                           stdout=subprocess.DEVNULL)

    def first_span(self):
        if self.workload.spans:
            return self.knocked(15.0)
        wait_for("weft to be ready", lambda: self.child.check() and fetch(self.url("readyz")), log=self.log)
        return None

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}"

    def begin(self):
        self.before = self.metrics()
        super().begin()

    def end(self, row):
        super().end(row)
        after = self.metrics()
        row["metrics"] = {n: v - self.before.get(n, 0) for n, v in after.items() if v != self.before.get(n, 0)}
        row["records"] = row["metrics"].get("weft_records_read_total", 0)
        row["losses"] = {n: v for n, v in row["metrics"].items() if v > 0 and is_loss(n, self.workload.spans)}
        row["maps_mb"] = after["weft_map_bytes"] / 1e6

    def metrics(self):
        values = {}
        for line in fetch(self.url("metrics")).splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def stop(self):
        if self.child.stop() != 0:
            self.child.check()


def is_loss(name, understood):
    """Of bytes that no parser understands none can be missed."""
    base = name.split("{")[0]
    if "requests_done" in base:
        return understood and 'result="paired"' not in name and 'result="closed"' not in name
    words = ("lost", "dropped", "failed", "evicted", "rejected", "missed")
    parsers = ("hole_bytes", "conflicts", "bad", "unpaired")
    return any(word in base for word in (words + parsers if understood else words))


class Peer(Agent):
    """Another agent, of which nothing is known but what the sink, the kernel and /proc say."""
    title = "(d) peer"

    def __init__(self, args, *more):
        super().__init__(args, *more)
        self.quiet = args.peer_quiet

    def launch(self):
        env = {**self.env(), "PEER_CGROUP": self.workload.cgroup.path, "PEER_PORT": str(self.workload.port)}
        # No session of its own: the kernel's autogroups would give it another share of the CPU than the other variants.
        with open(self.log, "ab") as out:
            self.child = Child(["/bin/sh", "-c", self.args.peer], cpus=self.cpus, log=self.log,
                               cgroup=self.group, env=env, stdout=out, process_group=0)

    def first_span(self):
        try:
            return self.knocked(self.args.peer_wait / PATIENCE)
        except Failure:
            self.child.check()
            return None

    def stop(self):
        if self.child.proc.poll() is None:
            os.killpg(self.child.pid, signal.SIGTERM)
        self.group.end(20)
        self.child.proc.wait()

    def clean(self):
        if self.child:
            self.stop()
        super().clean()


VARIANTS = {"none": Nothing, "empty": Empty, "weft": Weft, "peer": Peer}
