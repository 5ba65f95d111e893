# SPDX-License-Identifier: Apache-2.0
"""A control plane: a real kube-apiserver on a real etcd, in the node's network."""
import http.client
import json
import ssl
import subprocess
import time

import tools
from node import ADDRESS, SERVICES
from weftlib.clock import patience

PORT = 6443
ADMIN = "admin-token"


class ControlPlane:
    def __init__(self, node):
        self.node, self.tmp = node, node.tmp / "control"
        self.tmp.mkdir()
        self.connection = self.server = None
        (self.tmp / "tokens.csv").write_text(f'{ADMIN},admin,admin,"system:masters"\n')
        tools.run(["openssl", "genrsa", "-out", self.tmp / "sa.key", "2048"])
        node.process(node.into(
            tools.etcd(), "--data-dir", self.tmp / "etcd", "--unsafe-no-fsync", "--log-level", "warn",
            "--experimental-watch-progress-notify-interval", "5s",  # what bookmarks come from
            "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
            "--listen-peer-urls", "http://127.0.0.1:2380"), "etcd")

    def start(self):
        self.server = self.node.process(self.node.into(
            tools.go("kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379", f"--cert-dir={self.tmp / 'certs'}",
            f"--secure-port={PORT}", "--bind-address=0.0.0.0", f"--advertise-address={ADDRESS}",
            f"--token-auth-file={self.tmp / 'tokens.csv'}", "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.tmp / 'sa.key'}",
            f"--service-account-signing-key-file={self.tmp / 'sa.key'}", f"--service-cluster-ip-range={SERVICES}",
            # the pods here come without the controllers that make accounts and their tokens
            "--disable-admission-plugins=ServiceAccount"), "kube-apiserver")
        end = time.monotonic() + patience(60)
        while not self.is_ready():
            assert self.server.child.poll() is None and time.monotonic() < end, self.server.output()[-2000:]
            time.sleep(0.2)
        return self

    def stop(self):
        """As a crash: nothing is said to those who watch."""
        self.close()
        self.server.kill()
        self.server.wait()

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def is_ready(self):
        try:
            return self.ask("GET", "/readyz", raw=True)[0] == 200
        except OSError:
            self.close()
            return False

    @property
    def ca(self):
        return (self.tmp / "certs/apiserver.crt").read_text()

    def ask(self, method, path, body=None, kind="application/json", raw=False):
        """The object that the server answers; raw: status and text."""
        if not self.connection:
            context = ssl._create_unverified_context()
            self.connection = http.client.HTTPSConnection(ADDRESS, PORT, timeout=30, context=context)
            with self.node.network():
                self.connection.connect()
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": kind}
        try:
            self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = self.connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as e:
            self.close()
            raise OSError(str(e)) from e
        if raw:
            return answer.status, text
        assert answer.status < 300, f"{method} {path}: {answer.status} {text[:500]}"
        return json.loads(text)

    def post(self, path, body):
        return self.ask("POST", path, body)

    def get(self, path):
        return self.ask("GET", path)

    def delete(self, path):
        return self.ask("DELETE", f"{path}?gracePeriodSeconds=0")

    def patch(self, path, body):
        return self.ask("PATCH", path, body, "application/merge-patch+json")

    def kubectl(self, *args, text=None):
        return self.node.run(tools.npm("kubectl"), "--server", f"https://{ADDRESS}:{PORT}", "--token", ADMIN,
                             "--insecure-skip-tls-verify", *args, text=text)

    def compact(self):
        """Forgets every version but the newest, as the server itself does every five minutes."""
        def call(path, body):
            done = subprocess.run([str(a) for a in self.node.into(
                "curl", "-sS", "--fail", "-d", json.dumps(body), f"http://127.0.0.1:2379/v3/{path}")],
                capture_output=True, text=True, check=True)
            return json.loads(done.stdout)
        revision = call("kv/range", {"key": "AA==", "range_end": "AA==", "limit": 1})["header"]["revision"]
        call("kv/compaction", {"revision": revision})
