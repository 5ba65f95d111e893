# SPDX-License-Identifier: Apache-2.0
"""A cluster of one node with weft installed from its chart, in its own image, and two applications behind services."""
import collections
import subprocess

import tools
import yaml
from control import ControlPlane
from kubelet import NAME, Kubelet, daemon_pod
from node import ADDRESS, BASE, HERE, Node
from otlp_sink import OtlpSink
from weftlib import paths
from weftlib.clock import patience, pause, until
from weftlib.http import get

IMAGE = "localhost/weft"
LABELS = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": NAME,
          "kubernetes.azure.com/cluster": "MC_rg_shop_westeurope",
          "topology.kubernetes.io/region": "westeurope", "topology.kubernetes.io/zone": "westeurope-1",
          "node.kubernetes.io/instance-type": "Standard_D4s_v5"}
PROVIDER = ("azure:///subscriptions/0b1f/resourceGroups/mc_rg_shop_westeurope/providers/Microsoft.Compute"
            "/virtualMachineScaleSets/aks-nodepool1-12345678-vmss/virtualMachines/0")
PORT = 8080
FRONT_IP, LEAF_IP = "10.96.7.1", "10.96.7.2"  # of the services
METRICS = 9464
HOST = ("/usr", "/lib", "/lib64", "/bin")  # what the applications' programs need


class Cluster:
    def __init__(self, tmp):
        self.node = Node(tmp)
        self.control = self.kubelet = self.sink = self.weft = self.weft_ip = self.weft_id = None
        self.pods = {}  # name: (object, its container's id)
        self.endpoints = {}  # of services
        self.seen = 0

    def start(self, image):
        archive, self.digest = image
        self.control = ControlPlane(self.node).start()
        self.node.start()
        self.node.load(archive, "--digests", "--base-name", IMAGE)
        self.kubelet = Kubelet(self.node, self.control)
        self.node_object = self.kubelet.register(LABELS, PROVIDER)
        with self.node.network():
            self.sink = OtlpSink(host=ADDRESS)
        self.control.post("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": "bank"}})
        self.service("leaf", LEAF_IP, self.app("leaf-0", ("StatefulSet", "leaf")))
        self.service("front", FRONT_IP, self.app("front-7d4b9c6f58-x2vqk", ("ReplicaSet", "front-7d4b9c6f58"),
                                                 next_=f"{LEAF_IP}:80", labels={"pod-template-hash": "7d4b9c6f58"}))
        self.install()

    def close(self):
        self.node.close()
        if self.sink:
            self.sink.stop()

    # applications

    def app(self, name, owner, next_="", labels=None, tls=None):
        """A Python server in a pod of its own; the pod's address. tls: the directory of its certificate."""
        kind, of = owner
        mounts = [*HOST, str(paths.APPS), *([str(tls)] if tls else [])]
        pod = self.kubelet.create({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "bank", "labels": {"app": of, **(labels or {})},
                         "ownerReferences": [{"kind": kind, "name": of, "controller": True, "apiVersion": "apps/v1",
                                              "uid": "5d0ffb53-5d8f-4d6f-9d5a-6f9c3b7f5f10"}]},
            "spec": {"containers": [{
                "name": "app", "image": BASE, "command": ["/usr/bin/python3", f"{paths.APPS}/pod.py"],
                "env": [{"name": "LISTEN", "value": f"0.0.0.0:{PORT}"}, {"name": "NEXT", "value": next_},
                        {"name": "TLS", "value": str(tls or "")}],
                "volumeMounts": [{"name": f"v{i}", "mountPath": m, "readOnly": True} for i, m in enumerate(mounts)],
            }], "volumes": [{"name": f"v{i}", "hostPath": {"path": m}} for i, m in enumerate(mounts)]}})
        ids, ip = self.kubelet.run(pod)
        self.pods[name] = pod, ids["app"]
        self.wait_port(ids["app"], PORT)
        return ip

    def wait_port(self, container, port):
        """Until it listens, without a connection that weft could see."""
        pid = self.node.pid_of(container)

        def listens():
            with open(f"/proc/{pid}/net/tcp", encoding="ascii") as f:
                next(f)
                return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in f)
        until(listens, f"nothing in {container} listens on {port}", timeout=20)

    def service(self, name, ip, endpoint):
        """A service at its own address, which is translated on the node as kube-proxy does it."""
        self.control.post("/api/v1/namespaces/bank/services", {
            "kind": "Service", "metadata": {"name": name},
            "spec": {"clusterIP": ip, "ports": [{"port": 80, "targetPort": PORT}]}})
        self.endpoints[name] = endpoint
        self.slice(name, endpoint)
        table = f"svc-{name}"
        self.node.run("nft", "-f", "-", text=f"""
            table ip {table} {{
              chain in  {{ type nat hook prerouting priority -100; ip daddr {ip} tcp dport 80 dnat to {endpoint}:{PORT}; }}
              chain out {{ type nat hook output priority -100; ip daddr {ip} tcp dport 80 dnat to {endpoint}:{PORT}; }}
            }}""")

    def slice(self, name, endpoint):
        self.control.post("/apis/discovery.k8s.io/v1/namespaces/bank/endpointslices", {
            "kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"port": PORT}],
            "metadata": {"name": f"{name}-5xk2m", "labels": {"kubernetes.io/service-name": name}},
            "endpoints": [{"addresses": [endpoint], "conditions": {"ready": True}}]})

    # weft

    def install(self):
        """The chart with its defaults; only where spans go is this cluster's."""
        values = {"image": {"repository": IMAGE, "digest": self.digest},
                  "config": {"otlp": {"endpoint": f"http://{ADDRESS}:{self.sink.port}"}}}
        rendered = subprocess.run(
            [tools.npm("helm"), "template", "weft", HERE.parents[1] / "helm/weft", "--namespace", "weft",
             "--kube-version", "1.34.0", "--no-hooks", "--values", "-"],
            input=yaml.safe_dump(values), capture_output=True, text=True, check=True).stdout
        self.control.post("/api/v1/namespaces", {"kind": "Namespace", "metadata": {
            "name": "weft", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}})
        self.control.kubectl("apply", "--namespace", "weft", "-f", "-", text=rendered)
        self.start_weft()

    def start_weft(self):
        daemonset = self.control.get("/apis/apps/v1/namespaces/weft/daemonsets/weft")
        self.weft = self.kubelet.create(daemon_pod(daemonset))
        ids, self.weft_ip = self.kubelet.run(self.weft)
        self.weft_id = ids["weft"]
        until(lambda: self.probe("/readyz")[0] == 200,
              lambda: f"not ready: {self.probe('/readyz')}\n{self.logs()}", timeout=60)
        until(lambda: self.metrics().get("weft_kubernetes_services_synced") == 1,
              lambda: f"services are not known\n{self.logs()}", timeout=60)

    def stop_weft(self):
        self.kubelet.stop(self.weft)

    def probe(self, path):
        """What the kubelet does."""
        try:
            with self.node.network():
                status, _, body = get(METRICS, path, host=self.weft_ip)
        except OSError:
            return 0, ""
        return status, body.decode()

    def metrics(self):
        found = {}
        for line in self.probe("/metrics")[1].splitlines():
            if line and line[0] != "#":
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def logs(self):
        return self.kubelet.logs(self.weft, "weft")

    def exec(self, *args):
        """`kubectl exec`: what it prints, whatever its exit status."""
        done = self.node.crictl("exec", self.weft_id, *args, check=False)
        return done.stdout + done.stderr

    def weft_pid(self):
        return self.node.pid_of(self.weft_id)

    def memory(self):
        """(the chart's limit, the most that weft used, how often it was killed for that), of bytes."""
        path = next(line.partition("::")[2].strip() for line in
                    open(f"/proc/{self.weft_pid()}/cgroup", encoding="ascii") if line.startswith("0::"))
        return self.node.memory_of(self.weft_id, path)

    # traffic

    def ask(self, path, ip=FRONT_IP, port=80, tls=False):
        with self.node.network():
            return get(port, path, host=ip, tls=tls)[0]

    def spans(self, n):
        """Exactly n more than there were at the last call."""
        self.sink.wait(self.seen + n, timeout=patience(15))
        pause(0.5)
        spans = self.sink.spans()[self.seen:]
        assert len(spans) == n, collections.Counter(
            (s["name"], s["kind"], s["resource"].get("k8s.pod.name")) for s in spans).most_common(20)
        assert self.sink.violations == []
        self.seen += n
        return sorted(spans, key=lambda s: s["start_unix_ns"])
