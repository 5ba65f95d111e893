# SPDX-License-Identifier: Apache-2.0
"""An image's files and descriptions, and a container of it: by runc, as a node agent runs in Kubernetes."""
import json
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

# What the agent asks for where kernel.perf_event_paranoid allows it to do without CAP_SYS_ADMIN.
CAPABILITIES = ("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_CHECKPOINT_RESTORE")


class Image:
    def __init__(self, rootfs, layout, said):
        self.rootfs, self.layout, self.said = rootfs, layout, said
        index = json.loads((layout / "index.json").read_text())
        self.digest = index["manifests"][0]["digest"]
        self.manifest = json.loads(self.blob(self.digest).read_text())
        self.config = json.loads(self.blob(self.manifest["config"]["digest"]).read_text())

    def blob(self, digest):
        return self.layout / "blobs" / digest.replace(":", "/")

    def run(self, *args, **options):
        return run(self.rootfs, [*self.config["config"]["Entrypoint"], *args], **options)


def mount(target, kind, source, *options):
    return {"destination": target, "type": kind, "source": source, "options": ["nosuid", "nodev", *options]}


def description(rootfs, argv, uid=0, capabilities=CAPABILITIES, mounts=(), env=()):
    """The host's processes, a network of its own without anything in it, a root that nothing can be written to, exactly
    these capabilities. Only root's are effective by themselves; to others they come as ambient ones, as the kernel wants
    it, which runc does and Kubernetes does not."""
    caps = list(capabilities)
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False, "user": {"uid": uid, "gid": uid}, "args": list(argv), "cwd": "/",
            "env": ["PATH=/usr/bin", *env], "noNewPrivileges": True,
            "capabilities": {kind: caps for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")},
        },
        "root": {"path": str(rootfs), "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "nodev", "noexec"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=1m"]},
            mount("/sys", "sysfs", "sysfs", "noexec", "ro"),
            mount("/tmp", "tmpfs", "tmpfs", "mode=1777", "size=16m"),
            *mounts,
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "ipc", "uts", "network")],
            "rootfsPropagation": "private",
        },
    }


def run(rootfs, argv, timeout=60, **options):
    name = f"weft-{uuid.uuid4().hex[:12]}"
    bundle = Path(tempfile.mkdtemp(prefix=f"{name}."))
    try:
        (bundle / "config.json").write_text(json.dumps(description(rootfs, argv, **options)))
        return subprocess.run(["runc", "--root", bundle / "state", "run", "--bundle", bundle, name],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    finally:
        subprocess.run(["runc", "--root", bundle / "state", "delete", "--force", name], capture_output=True)
        shutil.rmtree(bundle)
