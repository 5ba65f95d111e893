# SPDX-License-Identifier: Apache-2.0
"""What every workload has: where it runs, how its server and client are started, what it answers."""
import os
import subprocess

from host import Child, free_port, run, wait_for


class Placement:
    """shared: everything on every CPU; pinned: the server alone on CPU 0, all the rest on CPU 1."""

    def __init__(self, name):
        self.server, self.rest = ({0}, {1}) if name == "pinned" else (None, None)
        self.workers = len(self.server or range(os.cpu_count()))
        self.threads = len(self.rest or range(os.cpu_count()))


def percentiles(ms):
    """Of single latencies; of few of them the high ones would mean nothing."""
    ms = sorted(ms)
    return {key: ms[min(len(ms) - 1, int(len(ms) * share))]
            for key, share, least in (("p50_ms", .5, 1), ("p99_ms", .99, 100), ("p999_ms", .999, 1000))
            if len(ms) >= least}


class Workload:
    """A server in the traced cgroup, and its client outside. Subclasses say:"""
    name = ""
    needs = ()  # programs
    spans = 1  # that weft makes of a request; 0: it does not understand the protocol
    body_bytes = None  # of each reply, where the spans are to tell it

    def __init__(self, args, placement, directory, cgroup):
        self.args, self.placement, self.directory, self.cgroup = args, placement, directory, cgroup
        self.threads = min(placement.threads, args.connections)  # of the client
        self.port = free_port()
        self.server = None
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)

    def libraries(self):
        """Paths of the TLS library that the server uses, if it does."""
        return []

    def start(self):
        """Starts the server, and returns when it answers."""
        raise NotImplementedError

    def load(self, seconds):
        """Puts load on it: {command, requests, rps, p50_ms, p99_ms, p999_ms}, what is not known left out."""
        raise NotImplementedError

    def warm(self):
        """Caches and clocks warm up."""
        self.load(1)

    def knock(self):
        """One request."""
        raise NotImplementedError

    def served(self):
        """How many requests the server says to have begun, this question among them; None: it does not say."""
        return None

    def serve(self, argv, **kwargs):
        self.server = Child(argv, cpus=self.placement.server, log=self.directory / "server.log",
                            cgroup=self.cgroup, stdout=subprocess.DEVNULL, **kwargs)
        wait_for(f"{argv[0]} to answer", lambda: self.server.check() and self.knock() is None, 20,
                 log=self.server.log)

    def client(self, argv):
        """The output of a load's command."""
        return run(argv, cpus=self.placement.rest, log=self.directory / "client.log")

    def stop(self):
        if self.server:
            self.server.stop()


def ask(argv):
    """A client for one request."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        raise OSError(f"{argv[0]}: {done.stderr.decode()}")


class Counted(Workload):
    """A load that is given a number of requests: what takes about the time asked for without an agent."""
    rate = None
    first = 1  # requests, to find out

    def load(self, seconds):
        return self.requests(max(1, round(self.rate * seconds)) if self.rate else self.first)

    def warm(self):
        for _ in range(2):  # the first one is cold
            row = self.load(1)
            self.rate = row["rps"]
