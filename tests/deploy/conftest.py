# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "check")]

import container  # noqa: E402
import tree  # noqa: E402

SOURCE = "https://git.example/weft"


@pytest.fixture(scope="session")
def image():
    """The image, really built: its plain files, its OCI layout and what image.sh said of it."""
    missing = ["root"] * (os.geteuid() != 0) + [p for p in ("buildah", "runc", "mmdebstrap") if not shutil.which(p)]
    if missing:
        why = f"the image needs {', '.join(missing)} (packages: deploy/setup.sh image)"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    at = tree.BUILD / "image"
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir(parents=True)
    done = subprocess.run([tree.ROOT / "deploy/image.sh", "--source", SOURCE, "--tag", "localhost/weft:test",
                           "--output", f"rootfs:{at / 'rootfs'}", "--output", f"oci:{at / 'oci'}"],
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(None, 1) for line in done.stdout.splitlines())
    return container.Image(at / "rootfs", at / "oci", said)
