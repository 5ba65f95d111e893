# SPDX-License-Identifier: Apache-2.0
"""A node: a network and a mount namespace of its own with a bridge, and a real containerd that runs pods there, each
in namespaces of its own behind a veth, in the cgroups that the kubelet and systemd would make."""
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import tools

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from weftlib import cgroup  # noqa: E402
from weftlib.clock import patience  # noqa: E402
from weftlib.proc import Process  # noqa: E402

ADDRESS = "10.88.0.1"  # of the node, on the bridge
PODS, SERVICES = "10.88.0.0/16", "10.96.0.0/16"
CLONE_NEWNET = 0x40000000
NETWORK = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True,
     "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
CONFIG = """
version = 2
root = "{tmp}/root"
state = "{tmp}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{tmp}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{base}"
disable_apparmor = {no_apparmor}
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{tmp}/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{runc}"
"""
MEMORY = pathlib.Path("/sys/fs/cgroup/memory")  # where its controller is not in the unified hierarchy: runc-systemd
BASE = "localhost/base:1"  # busybox and empty folders: what a pod's programs need is mounted
PROGRAMS = ("containerd", "ctr", "runc", "buildah", "busybox", "nft", "nsenter", "unshare")
SETUP = """
mkdir -p /run/netns /run/containerd
mount -t tmpfs tmpfs /run/netns
mount -t tmpfs tmpfs /run/containerd
if [ -d {memory} ]; then
    mkdir /run/containerd/memory
    mount --bind {memory} /run/containerd/memory
fi
mount --bind {unified} /sys/fs/cgroup
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link add cni0 type bridge
ip addr add {address}/16 dev cni0
ip link set cni0 up
ip route add {services} dev cni0
touch {ready}
exec sleep infinity
"""


def missing():
    """What has to be there first, or None."""
    if os.geteuid() != 0:
        return "needs root"
    if not cgroup.mount_point():
        return "no cgroup v2 is mounted"
    absent = [p for p in PROGRAMS if not shutil.which(p)]
    return f"{', '.join(absent)} not installed (packages: deploy/setup.sh image test)" if absent else None


class Node:
    def __init__(self, tmp):
        self.tmp = tmp
        self.ended = []
        self.sandboxes = []
        libc = ctypes.CDLL(None, use_errno=True)
        self._setns = libc.setns
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        ready = tmp / "ready"
        setup = SETUP.format(unified=cgroup.mount_point(), memory=MEMORY, address=ADDRESS, services=SERVICES, ready=ready)
        holder = self.process(["unshare", "--mount", "--net", "--propagation", "private", "sh", "-ec", setup])
        holder.wait_path(ready)
        self.pid = holder.pid
        self._net = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def process(self, argv, name="node", **more):
        process = Process(argv, log=self.tmp / f"{name}.log", **more)
        self.ended.append(process.stop)
        return process

    def into(self, *argv):
        return ["nsenter", "--target", self.pid, "--mount", "--net", "--", *argv]

    def run(self, *argv, check=True, text=None, timeout=120):
        done = subprocess.run([str(a) for a in self.into(*argv)], capture_output=True, text=True, check=False,
                              input=text, timeout=timeout)
        assert done.returncode == 0 or not check, f"{argv}: {done.stderr[-2000:]}"
        return done.stdout if check else done

    @contextlib.contextmanager
    def network(self):
        """Sockets made by this thread meanwhile are the node's."""
        assert self._setns(self._net, CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert self._setns(self._home, CLONE_NEWNET) == 0

    # containerd

    def start(self):
        (self.tmp / "net.d").mkdir()
        network = json.loads(json.dumps(NETWORK))
        network["plugins"][0]["ipam"]["dataDir"] = str(self.tmp / "ipam")
        (self.tmp / "net.d/10-pods.conflist").write_text(json.dumps(network))
        no_apparmor = str(not os.path.exists("/sys/kernel/security/apparmor")).lower()
        config = self.tmp / "containerd.toml"
        config.write_text(CONFIG.format(tmp=self.tmp, base=BASE, runc=HERE / "runc-systemd", no_apparmor=no_apparmor))
        self.process(self.into("containerd", "--config", config), "containerd")
        end = time.monotonic() + patience(20)
        while self.run("ctr", "-a", self.socket, "version", check=False).returncode:
            assert time.monotonic() < end, "containerd does not answer"
            time.sleep(0.1)
        self.load(self.make_base())

    @property
    def socket(self):
        return self.tmp / "containerd.sock"

    def make_base(self):
        files = self.tmp / "base"
        for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "usr", "lib", "lib64", "opt"):
            (files / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), files / "bin/busybox")
        store = ["--root", self.tmp / "buildah", "--runroot", self.tmp / "buildah-run", "--storage-driver", "vfs"]

        def buildah(*args):
            return tools.run(["buildah", *store, *args]).strip()

        container = buildah("from", "scratch")
        buildah("copy", container, files, "/")
        buildah("config", "--entrypoint", '["/bin/busybox", "sleep", "100000000"]', container)
        archive = self.tmp / "base.tar"
        buildah("commit", container, f"oci-archive:{archive}:{BASE}")
        return archive

    def load(self, archive, *how):
        self.run("ctr", "-a", self.socket, "-n", "k8s.io", "images", "import", *how, archive)

    def crictl(self, *args, **more):
        end = f"unix://{self.socket}"
        return self.run(tools.go("crictl"), "--config", "/dev/null", "--runtime-endpoint", end, "--image-endpoint", end,
                        *args, **more)

    def sandbox(self, config):
        """Its id and its pod's address."""
        path = self.tmp / f"{config['metadata']['uid']}.json"
        path.write_text(json.dumps(config))
        sandbox = self.crictl("runp", path).strip()
        self.sandboxes.append(sandbox)
        return sandbox, json.loads(self.crictl("inspectp", sandbox))["status"]["network"]["ip"]

    def container(self, sandbox, sandbox_config, config):
        """The id of a started container."""
        pod = self.tmp / f"{sandbox_config['metadata']['uid']}.json"
        path = self.tmp / f"{sandbox_config['metadata']['uid']}-{config['metadata']['name']}.json"
        path.write_text(json.dumps(config))
        container = self.crictl("create", sandbox, path, pod).strip()
        self.crictl("start", container)
        return container

    def pid_of(self, container):
        return json.loads(self.crictl("inspect", container))["info"]["pid"]

    def memory_of(self, container, path):
        """(its limit, the most that it used, how often it was killed for that), of bytes."""
        v1 = MEMORY / "weft-kube" / container
        if v1.exists():
            kills = next(line.split()[1] for line in (v1 / "memory.oom_control").read_text().splitlines()
                         if line.startswith("oom_kill "))
            return (*(int((v1 / f"memory.{f}_in_bytes").read_text()) for f in ("limit", "max_usage")), int(kills))
        v2 = pathlib.Path(cgroup.mount_point() + path)
        kills = next(line.split()[1] for line in (v2 / "memory.events").read_text().splitlines()
                     if line.startswith("oom_kill "))
        return (*(int((v2 / f"memory.{f}").read_text()) for f in ("max", "peak")), int(kills))

    def remove(self, sandbox):
        self.crictl("rmp", "--force", sandbox)
        self.sandboxes.remove(sandbox)

    def close(self):
        for sandbox in list(self.sandboxes):
            self.remove(sandbox)
        while self.ended:
            self.ended.pop()()
        os.close(self._net)
        os.close(self._home)
        self.unmount()

    def unmount(self):
        """The cgroups of slices; what containerd mounted went with its namespace."""
        for top in (pathlib.Path(cgroup.mount_point()) / "kubepods.slice", MEMORY / "weft-kube"):
            for path in sorted(top.glob("**/"), key=lambda p: -len(p.parts)):
                with contextlib.suppress(OSError):
                    path.rmdir()
