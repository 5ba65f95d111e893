# SPDX-License-Identifier: Apache-2.0
"""Processes that a test starts, and the ports they use. Everything is ended by its own pid."""
import os
import signal
import socket
import subprocess
import time

from .clock import patience

_given = set()


def free_port(host="127.0.0.1"):
    """A port that nothing uses. Never the same one twice: a server may take a while to bind it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.bind((host, 0))
            port = s.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def listening(port):
    """True if a TCP socket listens on the port. Read from /proc: a probe would be a connection,
    and so a part of what is measured."""
    want = f"{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                if fields[3] == "0A" and fields[1].rsplit(":", 1)[1] == want:
                    return True
    return False


def children(pid):
    """The processes that this one started and that still run."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(entry))
            except OSError:
                pass
    return found


class Process:
    """A child in a cgroup, with a session of its own."""

    def __init__(self, argv, cgroup=None, env=None, cwd=None, log=None, cpus=None, stdin=None):
        self.argv = [str(a) for a in argv]
        self.log = log
        out = open(log, "ab") if log else subprocess.DEVNULL

        def enter():
            if cgroup:
                cgroup.enter()
            if cpus is not None:
                os.sched_setaffinity(0, cpus)

        full = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "WEFT_"))}
        full.update(env or {})
        try:
            self.child = subprocess.Popen(self.argv, env=full, cwd=cwd, stdout=out, stderr=out,
                                          stdin=stdin or subprocess.DEVNULL,
                                          preexec_fn=enter, start_new_session=True)
        finally:
            if log:
                out.close()

    @property
    def pid(self):
        return self.child.pid

    def output(self):
        return open(self.log, errors="replace").read() if self.log else ""

    def wait_port(self, port, timeout=20):
        end = time.monotonic() + patience(timeout)
        while not listening(port):
            if self.child.poll() is not None:
                raise RuntimeError(f"{self.argv[0]} ended with {self.child.returncode}:\n"
                                   f"{self.output()[-2000:]}")
            if time.monotonic() > end:
                raise TimeoutError(f"{self.argv[0]} does not listen on {port}:\n{self.output()[-2000:]}")
            time.sleep(0.01)
        return self

    def wait_path(self, path, timeout=20):
        end = time.monotonic() + patience(timeout)
        while not os.path.exists(path):
            if self.child.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.argv[0]} does not make {path}:\n{self.output()[-2000:]}")
            time.sleep(0.01)
        return self

    def wait(self, timeout=30):
        return self.child.wait(patience(timeout))

    def kill(self, sig=signal.SIGKILL):
        """One process, not its children."""
        self.child.send_signal(sig)

    def stop(self, timeout=5):
        """The whole session, politely first."""
        for sig in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.child.pid, sig)
            except ProcessLookupError:
                pass
            try:
                self.child.wait(patience(timeout))
                break
            except subprocess.TimeoutExpired:
                continue
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
