# SPDX-License-Identifier: Apache-2.0
"""Groups of the v2 hierarchy, where traced processes live."""
import itertools
import os
import signal
import time
from pathlib import Path

_serial = itertools.count(1)


def mount_point():
    """Where cgroup v2 is mounted (hybrid systems have it below /sys/fs/cgroup), or None."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind = line.split()[:3]
        if kind == "cgroup2":
            return Path(where)
    return None


class Cgroup:
    """A group below /weft-test; `path` is what a cgroup rule is given."""

    def __init__(self, name, parent=None):
        base = parent.path if parent else "/weft-test"
        self.path = f"{base}/{name}" if parent else f"{base}/{name}-{os.getpid()}-{next(_serial)}"
        self.dir = Path(str(mount_point()) + self.path)
        self.dir.mkdir(parents=True, exist_ok=True)

    def enter(self):
        """Moves the calling process; for a child between fork and exec."""
        with open(self.dir / "cgroup.procs", "w") as procs:
            procs.write("0")

    def pids(self):
        return [int(line) for line in (self.dir / "cgroup.procs").read_text().split()]

    def remove(self):
        """Ends what is still inside, which only this test put there, and removes the group."""
        for child in [d for d in self.dir.iterdir() if d.is_dir()]:
            sub = Cgroup.__new__(Cgroup)
            sub.path, sub.dir = f"{self.path}/{child.name}", child
            sub.remove()
        for attempt in range(100):
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            try:
                self.dir.rmdir()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"cgroup {self.path} stays busy: {self.pids()}")
