# SPDX-License-Identifier: Apache-2.0
"""One test's laboratory: a cgroup, servers in it, agents beside it, all gone at the end."""
import time

from .agent import Weft
from .cgroup import Cgroup
from .clock import patience
from .proc import Process, children


class Lab:
    def __init__(self, tmp, name="t"):
        self.tmp = tmp
        self.cgroup = Cgroup(name)
        self.ended = []
        self.serial = 0
        self.brief = {}

    def process(self, argv, name=None, traced=True, env=None, brief=False, under=(), **more):
        """Starts a program, in the traced cgroup and under a service name of its own. brief: it may
        be gone before anybody can read its environment; then it goes by its pid. under: the start of a command
        line that becomes the program."""
        self.serial += 1
        full = {"OTEL_SERVICE_NAME": name} if name else {}
        full.update(env or {})
        process = Process([*under, *argv], cgroup=more.pop("cgroup", self.cgroup) if traced else None, env=full,
                          log=self.tmp / f"{self.serial}-{name or 'proc'}.log", **more)
        self.ended.append(process.stop)
        if brief:
            self.brief[process.pid] = name
        return process

    def adopt(self, process, name, n):
        """Lets n children of a process, once they run, go by their pid as well: nginx writes its
        title over its environment, so that one who looks late finds no name there."""
        end = time.monotonic() + patience(10)
        while len(found := children(process.pid)) < n:
            if time.monotonic() > end:
                raise TimeoutError(f"{name} has {len(found)} of {n} children")
            time.sleep(0.005)
        self.brief.update({pid: name for pid in [process.pid, *found]})

    def dir(self, name):
        self.serial += 1
        path = self.tmp / f"{self.serial}-{name}"
        path.mkdir()
        path.chmod(0o755)
        return path

    def weft(self, include=None, start=True, **more):
        if include is None:
            include = [f"cgroup={self.cgroup.path}"]
        weft = Weft(self.tmp, include=include, brief=self.brief, **more)
        self.ended.append(weft.kill)
        return weft.start() if start else weft

    def curl(self, *args, name="curl", traced=True, **more):
        """Runs curl to its end; its output."""
        out = self.tmp / f"curl-{self.serial}.out"
        process = self.process(["curl", "-s", "-S", "-o", out, *args], name=name, traced=traced, brief=True,
                               **more)
        process.wait()
        return process.child.returncode, out.read_bytes() if out.exists() else b""

    def close(self):
        while self.ended:
            self.ended.pop()()
        self.cgroup.remove()
        try:
            self.cgroup.dir.parent.rmdir()
        except OSError:
            pass  # another test's group is still below it
