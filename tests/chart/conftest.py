# SPDX-License-Identifier: Apache-2.0
"""helm: the one inside of an npm package, which is fetched once into the build directory."""
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/kube"))

import tools as programs  # noqa: E402


@pytest.fixture(scope="session")
def tools():
    """The path of a program of the package, by its name."""
    try:
        programs.npm("helm")
    except programs.Missing as e:
        pytest.skip(str(e))
    return lambda name: str(programs.npm(name))


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
