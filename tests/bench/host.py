# SPDX-License-Identifier: Apache-2.0
"""What the bench asks of the machine: processes, cgroups, waiting, and what the machine is."""
import os
import pathlib
import platform
import pwd
import signal
import socket
import subprocess
import time
import urllib.request

GUEST = os.environ.get("WEFT_GUEST") == "1"
PATIENCE = 6 if GUEST else 1  # an emulated machine is slower by more; this is for what must come


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(url, timeout=5):
    with urllib.request.urlopen(url, timeout=timeout * PATIENCE) as reply:
        return reply.read().decode()


def wait_for(what, probe, seconds=10.0, step=0.02, log=None):
    """The probe's first true answer; a Failure when there is none in time."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        try:
            answer = probe()
        except (OSError, ValueError):
            answer = None
        if answer:
            return answer
        time.sleep(step)
    raise Failure(f"timed out waiting for {what}{tail(log)}")


def tail(log):
    """A log's last words, to stand at the end of a message."""
    try:
        text = pathlib.Path(log).read_text(errors="replace").strip()[-2000:] if log else ""
    except OSError:
        return ""
    return f"; {log} ends with:\n{text}" if text else ""


def run(argv, log=None, **kwargs):
    """A command's output, once it has ended well."""
    child = Child(argv, log=log, stdout=subprocess.PIPE, **kwargs)
    try:
        out = child.proc.communicate()[0].decode(errors="replace")
    except BaseException:
        child.stop()
        raise
    if child.proc.returncode:
        raise Failure(f"{argv[0]} ended with {child.proc.returncode}: {out[-2000:]}{tail(log)}")
    return out


class Cgroup:
    """A group of the v2 hierarchy, gone at the end with all that is in it; only the bench puts
    anything there."""

    def __init__(self, path):
        self.path = path
        self.dir = mount_of("cgroup2") / path.lstrip("/")
        self.dir.mkdir(parents=True)

    def cpu_seconds(self):
        """Of all that is or was in it: a server's children that ended are counted, too."""
        for line in (self.dir / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
        raise Failure(f"{self.dir}: no cpu.stat")

    def pids(self):
        return [int(line) for line in (self.dir / "cgroup.procs").read_text().split()]

    def end(self, seconds=10.0):
        """Ends what is still in it after that long."""
        end = time.monotonic() + seconds * PATIENCE
        while self.pids() and time.monotonic() < end:
            time.sleep(0.02)
        while pids := self.pids():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)

    def remove(self):
        self.end(0)
        self.dir.rmdir()


def mount_of(kind):
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == kind:
            return pathlib.Path(fields[1])
    raise Failure(f"no {kind} is mounted")


class Child:
    """A process of ours, ended by its own pid."""

    def __init__(self, argv, cpus=None, log=None, cgroup=None, user=None, **kwargs):
        entry = pwd.getpwnam(user) if user else None

        def prepare():
            if cgroup:
                (cgroup.dir / "cgroup.procs").write_text("0")
            if cpus is not None:
                os.sched_setaffinity(0, cpus)
            if entry:
                os.initgroups(user, entry.pw_gid)
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)

        self.log = log
        err = open(log, "ab") if log else subprocess.DEVNULL
        try:
            self.proc = subprocess.Popen([str(a) for a in argv], stderr=err, preexec_fn=prepare,
                                         **{"stdin": subprocess.DEVNULL, **kwargs})
        finally:
            if log:
                err.close()
        self.pid = self.proc.pid

    def check(self):
        """True while it runs."""
        if self.proc.poll() is not None:
            raise Failure(f"{self.proc.args[0]} ended with {self.proc.returncode}{tail(self.log)}")
        return True

    def stop(self, sig=signal.SIGTERM, seconds=20.0):
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
            try:
                self.proc.wait(seconds * PATIENCE)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        return self.proc.returncode


def rss_mb(pids, which):
    """VmRSS, or VmHWM for the peak, of these processes together."""
    total = 0
    for pid in pids:
        try:
            lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue  # it ended meanwhile
        total += sum(int(line.split()[1]) for line in lines if line.startswith(which + ":"))
    return total / 1024


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), platform.machine())
    memory = int(open("/proc/meminfo").readline().split()[1]) / 1024 / 1024
    emulated = "; emulated: only ratios mean anything" if GUEST else ""
    return f"{os.cpu_count()} × {model}, {memory:.1f} GB, Linux {platform.release()}{emulated}"
