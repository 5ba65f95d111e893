# SPDX-License-Identifier: Apache-2.0
"""deploy/rollout.sh against a helm and a kubectl that answer as they are told: what it asks for, and when it goes back.
curl is the real one, and so is what answers /readyz."""
import json
import os
import socket
import subprocess
import textwrap

import pytest
import tree

DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"ghcr.io/someone/weft@{DIGEST}"

HELM = """
    import json, os, sys
    said = json.loads(os.environ["SAID"])
    with open(os.environ["CALLS"], "a") as calls:
        print("helm", *sys.argv[1:], file=calls)
    command = next(a for a in sys.argv[3:])
    if command == "list" and said["revision"]:
        print(json.dumps([{"name": "weft", "revision": said["revision"]}], separators=(",", ":")))
    elif command == "list":
        print("[]")
    sys.exit(said.get(command, 0))
"""

KUBECTL = """
    import http.server, json, os, sys
    said = json.loads(os.environ["SAID"])
    with open(os.environ["CALLS"], "a") as calls:
        print("kubectl", *sys.argv[1:], file=calls)
    command = sys.argv[3]
    if command == "get" and "--output" in sys.argv and "jsonpath" in sys.argv[-1]:
        for pod, image in said["pods"].items():
            print(pod, image)
    elif command == "port-forward":
        pod = sys.argv[4].partition("/")[2]

        class Pod(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                good = self.path == "/readyz" and pod not in said["unready"]
                self.send_response(200 if good else 503)
                self.end_headers()

            def log_message(self, *args):
                pass

        http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[5].partition(":")[0])), Pod).serve_forever()
    sys.exit(said.get(command, 0))
"""


class Cluster:
    def __init__(self, at):
        self.at, self.calls_path = at, at / "calls"
        for name, source in (("helm", HELM), ("kubectl", KUBECTL)):
            path = at / name
            path.write_text("#!/usr/bin/python3\n" + textwrap.dedent(source))
            path.chmod(0o755)
        self.said = {"revision": "7", "pods": {"weft-a": IMAGE, "weft-b": IMAGE}, "unready": []}

    def rollout(self, *args, **said):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        env = {"PATH": f"{self.at}:{os.environ['PATH']}", "SAID": json.dumps({**self.said, **said}),
               "CALLS": str(self.calls_path), "WEFT_LOCAL_PORT": str(port)}
        return subprocess.run([tree.ROOT / "deploy/rollout.sh", *(args or (IMAGE,))], capture_output=True, text=True,
                              env=env, timeout=60)

    def calls(self, *start):
        if not self.calls_path.exists():
            return []
        return [line for line in self.calls_path.read_text().splitlines() if line.startswith(" ".join(start))]


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


def test_all_is_well(cluster):
    done = cluster.rollout(IMAGE, "--values", "my.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"weft is well on 2 nodes: {IMAGE}\n")
    upgrade, = cluster.calls("helm --namespace weft upgrade")
    assert "upgrade weft helm/weft --install --create-namespace --atomic " in upgrade
    assert " --values my.yaml " in upgrade
    assert upgrade.endswith(f"--set-string image.registry=ghcr.io,image.repository=someone/weft,image.digest={DIGEST}")
    assert len(cluster.calls("helm --namespace weft test weft")) == 1
    assert [c.split()[4] for c in cluster.calls("kubectl --namespace weft port-forward")] == ["pod/weft-a", "pod/weft-b"]
    assert not cluster.calls("helm --namespace weft rollback") and not cluster.calls("helm --namespace weft uninstall")


@pytest.mark.parametrize("said", [
    {"test": 1},
    {"rollout": 1},
    {"unready": ["weft-b"]},
    {"pods": {}},
    {"pods": {"weft-a": IMAGE, "weft-b": "ghcr.io/someone/weft:1.0"}},
], ids=["helm test", "not rolled out", "a node is not ready", "no node", "another image"])
def test_it_goes_back(cluster, said):
    done = cluster.rollout(**said)
    assert done.returncode == 1
    assert "back at revision 7" in done.stderr
    assert cluster.calls("helm --namespace weft rollback") == ["helm --namespace weft rollback weft 7 --wait --timeout 10m"]
    assert not cluster.calls("helm --namespace weft uninstall")


def test_a_first_installation_goes_away_again(cluster):
    done = cluster.rollout(revision="", test=1)
    assert done.returncode == 1 and "removed again" in done.stderr
    assert len(cluster.calls("helm --namespace weft uninstall weft")) == 1
    assert not cluster.calls("helm --namespace weft rollback")


def test_helm_itself_brings_a_failed_upgrade_back(cluster):
    done = cluster.rollout(upgrade=1)
    assert done.returncode == 1 and "as it was, at revision 7" in done.stderr
    assert not cluster.calls("helm --namespace weft rollback") and not cluster.calls("helm --namespace weft test")


def test_a_failed_rollback_is_said(cluster):
    done = cluster.rollout(test=1, rollback=1)
    assert done.returncode == 1 and "the rollback failed" in done.stderr


@pytest.mark.parametrize("image", [
    "ghcr.io/someone/weft:1.0", "ghcr.io/someone/weft", f"weft@{DIGEST}", f"ghcr.io/someone/weft@{DIGEST[:-1]}",
    f"ghcr.io/someone/weft,x=y@{DIGEST}", f"ghcr.io/some one/weft@{DIGEST}",
])
def test_only_an_image_by_digest(cluster, image):
    done = cluster.rollout(image)
    assert done.returncode == 1 and "not an image by digest" in done.stderr
    assert not cluster.calls()


def test_where(cluster):
    assert cluster.rollout("--help").stdout.startswith("Usage: deploy/rollout.sh ")
    assert cluster.rollout("").returncode == 2
