# SPDX-License-Identifier: Apache-2.0
"""What the kubelet does with a pod, as far as a node agent can see it: volumes, the account's token, the security
context, a sandbox and containers through CRI, and their state for the API server."""
import json
import time

from control import PORT
from node import ADDRESS

NAME = "aks-nodepool1-12345678-vmss000000"
TOKEN_AT = "/var/run/secrets/kubernetes.io/serviceaccount"
SECCOMP = {"RuntimeDefault": 0, "Unconfined": 1}  # runtime.v1.SecurityProfile.ProfileType
POD, NODE = 0, 2  # runtime.v1.NamespaceMode


class Kubelet:
    def __init__(self, node, control):
        self.node, self.control, self.tmp = node, control, node.tmp / "pods"
        self.tmp.mkdir()
        self.sandboxes = {}  # by the pod's uid

    def register(self, labels, provider):
        return self.control.post("/api/v1/nodes", {
            "kind": "Node", "apiVersion": "v1", "metadata": {"name": NAME, "labels": labels},
            "spec": {"providerID": provider}})

    def create(self, pod):
        """Makes the pod in the API, on this node; what the server made of it."""
        pod["spec"].update({"nodeName": NAME, "terminationGracePeriodSeconds": 1})
        return self.control.post(f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods", pod)

    def run(self, pod):
        """Starts a pod; {container: its id} and the pod's address. The API server is told."""
        meta, spec = pod["metadata"], pod["spec"]
        directory = self.tmp / meta["uid"]
        directory.mkdir()
        context = spec.get("securityContext") or {}
        namespaces = {"network": POD, "pid": NODE if spec.get("hostPID") else POD, "ipc": POD}
        uid = meta["uid"].replace("-", "_")
        config = {
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "hostname": meta["name"], "log_directory": str(directory),
            "linux": {"cgroup_parent": f"kubepods-burstable-pod{uid}.slice",
                      "security_context": {"namespace_options": namespaces, "seccomp": seccomp(context)}},
        }
        sandbox, ip = self.node.sandbox(config)
        self.sandboxes[meta["uid"]] = sandbox
        volumes = self.volumes(pod, directory)
        ids = {}
        for container in spec["containers"]:
            ids[container["name"]] = self.node.container(
                sandbox, config, self.container(pod, container, volumes, namespaces))
        self.report(pod, ids, ip)
        return ids, ip

    def container(self, pod, container, volumes, namespaces):
        context = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
        capabilities = context.get("capabilities") or {}
        env = {"KUBERNETES_SERVICE_HOST": ADDRESS, "KUBERNETES_SERVICE_PORT": str(PORT)}
        for variable in container.get("env", ()):
            source = variable.get("valueFrom")
            env[variable["name"]] = (field(pod, source["fieldRef"]["fieldPath"]) if source else
                                     variable.get("value", ""))
        mounts = [{"container_path": m["mountPath"], "host_path": str(volumes[m["name"]]),
                   "readonly": m.get("readOnly", False)} for m in container.get("volumeMounts", ())]
        return {
            "metadata": {"name": container["name"]}, "image": {"image": container["image"]},
            "command": container.get("command", []), "args": container.get("args", []),
            "envs": [{"key": k, "value": v} for k, v in env.items()],
            "mounts": mounts, "log_path": f"{container['name']}.log",
            "linux": {"resources": {"memory_limit_in_bytes": memory_limit(container)}, "security_context": {
                "namespace_options": namespaces,
                "privileged": context.get("privileged", False),
                "readonly_rootfs": context.get("readOnlyRootFilesystem", False),
                "no_new_privs": not context.get("allowPrivilegeEscalation", True),
                "run_as_user": {"value": context.get("runAsUser", 0)},
                "capabilities": {"add_capabilities": capabilities.get("add", []),
                                 "drop_capabilities": capabilities.get("drop", [])},
                "seccomp": seccomp(context)}},
        }

    def volumes(self, pod, directory):
        found = {}
        for volume in pod["spec"].get("volumes") or ():
            at = directory / volume["name"]
            if "hostPath" in volume:
                at = volume["hostPath"]["path"]
            elif "configMap" in volume:
                name = volume["configMap"]["name"]
                data = self.control.get(f"/api/v1/namespaces/{pod['metadata']['namespace']}/configmaps/{name}")["data"]
                at.mkdir()
                for key, text in data.items():
                    (at / key).write_text(text)
            elif "projected" in volume:
                at.mkdir()
                self.project(pod, at)
            else:
                raise ValueError(f"a volume of an unknown kind: {volume}")
            found[volume["name"]] = at
        return found

    def project(self, pod, at, bound=None):
        """The account's token, bound to the pod, its server's certificate and the namespace."""
        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName", "default")
        bound = bound or {"kind": "Pod", "apiVersion": "v1", "name": meta["name"], "uid": meta["uid"]}
        token = self.control.post(
            f"/api/v1/namespaces/{meta['namespace']}/serviceaccounts/{account}/token",
            {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
             "spec": {"expirationSeconds": 3607, "boundObjectRef": bound}})["status"]["token"]
        (at / "token").write_text(token)
        (at / "ca.crt").write_text(self.control.ca)
        (at / "namespace").write_text(meta["namespace"])

    def report(self, pod, ids, ip):
        meta = pod["metadata"]
        images = {c["name"]: c["image"] for c in pod["spec"]["containers"]}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.control.patch(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status", {"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": ADDRESS,
            "hostIPs": [{"ip": ADDRESS}],
            "containerStatuses": [{
                "name": name, "containerID": f"containerd://{id_}", "image": images[name], "imageID": images[name],
                "ready": True, "started": True, "restartCount": 0, "state": {"running": {"startedAt": now}},
            } for name, id_ in ids.items()]}})

    def stop(self, pod):
        """Ends a pod and removes it from the API."""
        meta = pod["metadata"]
        self.node.remove(self.sandboxes.pop(meta["uid"]))
        self.control.delete(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}")

    def logs(self, pod, container):
        """What `kubectl logs` prints: CRI's log files have a time, a stream and a tag before each line."""
        path = self.tmp / pod["metadata"]["uid"] / f"{container}.log"
        return "".join(line.split(" ", 3)[3] for line in path.read_text().splitlines(keepends=True))


def seccomp(context):
    return {"profile_type": SECCOMP[(context.get("seccompProfile") or {"type": "Unconfined"})["type"]]}


def memory_limit(container):
    """Bytes; 0: none."""
    limit = (container.get("resources") or {}).get("limits", {}).get("memory", "0Mi")
    assert limit.endswith("Mi"), limit
    return int(limit[:-2]) << 20


def field(pod, path):
    value = pod
    for key in path.split("."):
        value = value[key]
    return value


def daemon_pod(daemonset):
    """The pod that the DaemonSet controller would make for this node. The API server's own admission, which is off
    here, would mount the token."""
    template = json.loads(json.dumps(daemonset["spec"]["template"]))
    meta = daemonset["metadata"]
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": meta["name"], "uid": meta["uid"],
             "controller": True}
    pod = {"kind": "Pod", "apiVersion": "v1", "spec": template["spec"],
           "metadata": {**template["metadata"], "name": f"{meta['name']}-x7k2p", "namespace": meta["namespace"],
                        "ownerReferences": [owner]}}
    pod["spec"].setdefault("volumes", []).append({"name": "token", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token"}}]}})
    for container in pod["spec"]["containers"]:
        container.setdefault("volumeMounts", []).append({"name": "token", "mountPath": TOKEN_AT, "readOnly": True})
    return pod
