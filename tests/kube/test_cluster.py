# SPDX-License-Identifier: Apache-2.0
"""weft from its chart, in its image, with just the rights that the chart gives it, on a node with a real containerd and
before a real API server."""
import contextlib
import json
import pathlib
import re
import types

from cluster import LEAF_IP
from control import PORT
from kubelet import NAME
from weftlib import servers
from weftlib.clock import until

KEPT = 1 << 2 | 1 << 19  # CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE
GIVEN = KEPT | 1 << 38 | 1 << 39 | 1 << 40  # CAP_PERFMON, CAP_BPF, CAP_CHECKPOINT_RESTORE


def process(pid, what):
    return pathlib.Path(f"/proc/{pid}/{what}").read_text()


def connections(shop):
    """Those of weft to the API server."""
    rows = [line.split() for line in process(shop.weft_pid(), "net/tcp").splitlines()[1:]]
    return [r for r in rows if r[2].endswith(f":{PORT:04X}") and r[3] == "01"]


def is_known(shop):
    """Whether weft knows as many pods as the API server has for its node."""
    pods = shop.control.get(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{NAME}")["items"]
    m = shop.metrics()
    return m.get("weft_kubernetes_pods") == len(pods) and m["weft_kubernetes_pods_synced"] == 1


def is_watching(shop):
    m = shop.metrics()
    return m["weft_kubernetes_failing"] == 0 and is_known(shop)


@contextlib.contextmanager
def refused(shop):
    """weft cannot reach the API server meanwhile."""
    rule = f"ip saddr {shop.weft_ip} tcp dport {PORT} reject with tcp reset"
    shop.node.run("nft", "-f", "-", text=f"""
        table ip cut {{
          chain in {{ type filter hook input priority 0; {rule}; }}
        }}""")
    try:
        yield
    finally:
        shop.node.run("nft", "delete", "table", "ip", "cut")


def ask_doctor(shop, *flags):
    """With its long lines in one piece."""
    return re.sub(r"\n {20,}", " ", shop.exec("/usr/bin/weft", "doctor", *flags))


def restart(shop, meanwhile=lambda: None):
    shop.control.stop()
    meanwhile()
    shop.control.start()


def check_call(shop):
    """A call from outside through both applications: its three spans, linked and named."""
    assert shop.ask("/call/1") == 200
    asked, call, answered = shop.spans(3)
    assert asked["parent_id"] is None
    assert call["parent_id"] == asked["span_id"] and answered["parent_id"] == call["span_id"]
    assert len({s["trace_id"] for s in (asked, call, answered)}) == 1
    assert [(s["kind"], s["resource"].get("k8s.pod.name")) for s in (asked, call, answered)] == [
        ("server", "front-7d4b9c6f58-x2vqk"), ("client", "front-7d4b9c6f58-x2vqk"), ("server", "leaf-0")]
    return asked, call, answered


def test_a_call_through_a_service(shop):
    """From outside to one pod, and from that through a service's address to another: all that is said of both."""
    asked, call, answered = check_call(shop)
    assert asked["attributes"]["client.address"] == "10.88.0.1"
    assert call["attributes"]["service.peer.name"] == "leaf"
    assert call["attributes"]["service.peer.namespace"] == "bank"
    assert call["attributes"]["network.peer.address"] == LEAF_IP
    cluster = shop.control.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
    common = {
        "cloud.provider": "azure", "cloud.platform": "azure.aks", "cloud.region": "westeurope",
        "cloud.availability_zone": "westeurope-1",
        "cloud.resource_id": "/subscriptions/0b1f/resourceGroups/rg/providers/Microsoft.ContainerService"
                             "/managedClusters/shop",
        "container.image.name": "localhost/base", "host.name": NAME, "host.type": "Standard_D4s_v5",
        "os.type": "linux", "process.executable.name": asked["resource"]["process.executable.name"],
        "k8s.cluster.name": "shop", "k8s.cluster.uid": cluster, "k8s.node.name": NAME,
        "k8s.node.uid": shop.node_object["metadata"]["uid"], "k8s.namespace.name": "bank",
        "k8s.container.name": "app", "k8s.container.restart_count": 0, "service.namespace": "bank",
        "service.version": "1"}
    for span, pod, service, owner in (
            (asked, "front-7d4b9c6f58-x2vqk", "front", {"k8s.deployment.name": "front",
                                                        "k8s.replicaset.name": "front-7d4b9c6f58"}),
            (answered, "leaf-0", "leaf", {"k8s.statefulset.name": "leaf"})):
        made, container = shop.pods[pod]
        assert span["resource"] == {
            **common, **owner, "container.id": container, "k8s.pod.name": pod, "k8s.pod.uid": made["metadata"]["uid"],
            "service.name": service, "service.instance.id": f"bank.{pod}.app"}
    assert call["resource"] == asked["resource"]


def test_it_has_the_rights_of_the_chart_and_no_others(shop):
    """And of these, once it is attached, only those for looking at processes; but for the thread that puts probes on
    TLS libraries."""
    pid = shop.weft_pid()
    status = dict(line.split(":\t") for line in process(pid, "status").splitlines() if ":\t" in line)
    assert int(status["CapBnd"], 16) == GIVEN
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        its = dict(line.split(":\t") for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        kept = GIVEN if its["Name"] == "weft-tls" else KEPT
        assert int(its["CapEff"], 16) == int(its["CapPrm"], 16) == kept, its["Name"]
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    mounts = [line.split() for line in process(pid, "mountinfo").splitlines()]
    [root] = [m for m in mounts if m[4] == "/"]
    assert "ro" in root[5].split(",")
    binds = {m[4]: m[5] for m in mounts if m[4].startswith(("/etc/weft", "/sys/fs/cgroup", "/var/run", "/run"))}
    assert all("ro" in options.split(",") for options in binds.values()), binds
    groups = process(pid, "cgroup")
    uid = shop.weft["metadata"]["uid"].replace("-", "_")
    assert (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/"
            f"cri-containerd-{shop.weft_id}.scope") in groups


def test_what_it_says_of_itself(shop):
    """The log from the start, the state by `weft status`, and what `weft doctor` finds there."""
    log = shop.logs()
    lines = [dict(re.findall(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S+)', line)) for line in log.splitlines()]
    assert [l["hooks"] for l in lines if l["msg"] == "tracing"] in (["sock"], ["fentry"]), log
    traced = {(l["namespace"], l["pod"]) for l in lines if l["msg"] == '"pod is traced"'}
    assert traced >= {("bank", "front-7d4b9c6f58-x2vqk"), ("bank", "leaf-0")}
    assert [l for l in lines if l["msg"] == '"pods of this node are known"'][0]["node"] == NAME
    status = shop.exec("/usr/bin/weft", "status")
    assert "kubernetes: ok; 3 pods of this node, 3 services" in status
    rows = [re.split(r"\s{2,}", line) for line in status.splitlines()]
    assert ["no", "weft", "weft-x7k2p", "weft", "-", "0", "0", "0", "weft itself"] in rows
    assert {tuple(r[:4]) for r in rows if r[0] == "yes"} == {
        ("yes", "bank", "front-7d4b9c6f58-x2vqk", "app"), ("yes", "bank", "leaf-0", "app")}
    doctor = ask_doctor(shop)
    assert "has      CAP_BPF CAP_PERFMON CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_CHECKPOINT_RESTORE\n" in doctor
    assert re.search(r"^verdict +all good$", doctor, re.M), doctor
    assert f"ok       Kubernetes API             lists the pods of {NAME}, and services\n" in doctor
    assert "ok       rights of the pod          hostPID and the capabilities are granted\n" in doctor
    lost = ask_doctor(shop, "--node", "elsewhere")
    assert "limit    Kubernetes API             nodes: none has the name in kubernetes.node\n" in lost, lost
    assert re.search(r"^verdict +works, with the limits above$", lost, re.M), lost
    assert shop.probe("/healthz")[0] == 200


def test_a_connection_for_each_kind_that_it_watches(shop):
    """And none that was left by what is only asked for once."""
    until(lambda: is_watching(shop), shop.logs, timeout=20)
    until(lambda: len(connections(shop)) == 3, lambda: str(connections(shop)), timeout=20)


def test_pods_come_and_go(shop):
    """A pod that starts while weft runs, is called and is gone again: its span has its name."""
    for i in range(3):
        name = f"moment-{i}"
        pod_ip = shop.app(name, ("StatefulSet", "moment"))
        assert shop.ask("/once", pod_ip, 8080) == 200
        shop.kubelet.stop(shop.pods.pop(name)[0])
    spans = shop.spans(3)
    assert [s["resource"]["k8s.pod.name"] for s in spans] == ["moment-0", "moment-1", "moment-2"]
    assert {s["resource"]["service.name"] for s in spans} == {"moment"}
    until(lambda: is_known(shop), shop.logs, timeout=20)


def test_tls_between_pods(shop, tmp_path):
    """In clear, by probes that weft puts with the rights of the chart on the library inside a pod."""
    pem = servers.certificate(types.SimpleNamespace(tmp=tmp_path))
    leaf_ip = shop.app("safe-leaf-0", ("StatefulSet", "safe-leaf"), tls=pem)
    front_ip = shop.app("safe-0", ("StatefulSet", "safe"), next_=f"{leaf_ip}:8080", tls=pem)
    until(lambda: shop.metrics()["weft_tls_libraries"] >= 1, shop.logs, timeout=20)
    assert shop.ask("/call/secret", front_ip, 8080, tls=True) == 200
    asked, call, answered = shop.spans(3)
    assert call["parent_id"] == asked["span_id"] and answered["parent_id"] == call["span_id"]
    assert [(s["kind"], s["attributes"]["url.scheme" if s["kind"] == "server" else "url.full"],
             s["attributes"]["tls.protocol.version"], s["resource"]["k8s.pod.name"]) for s in (asked, call, answered)] == [
        ("server", "https", "1.3", "safe-0"), ("client", f"https://{leaf_ip}:8080/leaf", "1.3", "safe-0"),
        ("server", "https", "1.3", "safe-leaf-0")]
    for name in ("safe-0", "safe-leaf-0"):
        shop.kubelet.stop(shop.pods.pop(name)[0])


def test_bookmarks_and_a_connection_that_is_cut(shop):
    """While no object changes the server sends a bookmark a minute; the watches of a connection that is cut go on from
    there, and nothing is listed again."""
    until(lambda: is_watching(shop), shop.logs, timeout=20)
    events = shop.metrics()["weft_kubernetes_events_total"]
    until(lambda: shop.metrics()["weft_kubernetes_events_total"] > events, "no bookmarks", timeout=90)
    before = shop.metrics()
    with refused(shop):
        shop.node.run("ss", "--kill", "dst", shop.weft_ip, "sport", "=", f":{PORT}")
        pod_ip = shop.app("beside-0", ("StatefulSet", "beside"))
        until(lambda: shop.metrics()["weft_kubernetes_failing"] == 1, shop.logs, timeout=60)
    until(lambda: is_watching(shop), shop.logs, timeout=90)
    assert shop.metrics()["weft_kubernetes_watches_total"] > before["weft_kubernetes_watches_total"]
    assert shop.metrics()["weft_kubernetes_lists_total"] == before["weft_kubernetes_lists_total"]
    assert shop.ask("/once", pod_ip, 8080) == 200
    [span] = shop.spans(1)
    assert span["resource"]["k8s.pod.name"] == "beside-0"
    shop.kubelet.stop(shop.pods.pop("beside-0")[0])
    until(lambda: is_known(shop), shop.logs, timeout=20)


def test_an_api_server_that_crashes(shop):
    """Spans go on while it is gone; then it is followed again, with a list anew at most once of what it says that it
    has forgotten (its memory of versions starts with it)."""
    lists = shop.metrics()["weft_kubernetes_lists_total"]
    restart(shop, meanwhile=lambda: check_call(shop))
    until(lambda: is_watching(shop), shop.logs, timeout=90)
    pod_ip = shop.app("after-0", ("StatefulSet", "after"))
    assert shop.ask("/once", pod_ip, 8080) == 200
    [span] = shop.spans(1)
    assert span["resource"]["k8s.pod.name"] == "after-0"
    shop.kubelet.stop(shop.pods.pop("after-0")[0])
    until(lambda: is_known(shop), shop.logs, timeout=90)
    assert shop.metrics()["weft_kubernetes_lists_total"] <= lists + 3


def test_a_version_that_the_server_has_forgotten(shop):
    """What changed while weft could not ask is compacted away: 410, and the lists are made again."""
    before = shop.metrics()["weft_kubernetes_lists_total"]
    with refused(shop):
        restart(shop)
        pod_ip = shop.app("unseen-0", ("StatefulSet", "unseen"))
        shop.control.compact()
        restart(shop)
    until(lambda: shop.metrics()["weft_kubernetes_lists_total"] > before and is_known(shop), shop.logs, timeout=90)
    assert shop.ask("/once", pod_ip, 8080) == 200
    [span] = shop.spans(1)
    assert span["resource"]["k8s.pod.name"] == "unseen-0"
    shop.kubelet.stop(shop.pods.pop("unseen-0")[0])
    until(lambda: is_watching(shop), shop.logs, timeout=90)


def test_a_token_that_is_no_longer_good(shop):
    """A token dies with what it is bound to. It is said, and the next one in the file is taken."""
    at = shop.kubelet.tmp / shop.weft["metadata"]["uid"] / "token"
    secret = shop.control.post("/api/v1/namespaces/weft/secrets", {"kind": "Secret", "metadata": {"name": "leash"}})
    shop.kubelet.project(shop.weft, at, {"kind": "Secret", "apiVersion": "v1", "name": "leash",
                                         "uid": secret["metadata"]["uid"]})
    shop.control.delete("/api/v1/namespaces/weft/secrets/leash")
    restart(shop)
    until(lambda: "the service account's token is not accepted" in shop.logs(), shop.logs, timeout=90)
    assert "token is not accepted" in shop.exec("/usr/bin/weft", "status")
    check_call(shop)
    shop.kubelet.project(shop.weft, at)
    until(lambda: is_watching(shop), shop.logs, timeout=90)
    check_call(shop)


def test_rights_that_are_taken_away(shop):
    """What is missing is said by name; with it back all goes on."""
    role = shop.control.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/weft")
    less = json.loads(json.dumps(role))
    less["rules"] = [r for r in role["rules"] if "endpointslices" not in r["resources"]]
    shop.control.ask("PUT", "/apis/rbac.authorization.k8s.io/v1/clusterroles/weft", less)
    restart(shop)
    said = "endpointslices: forbidden; the service account needs to list and watch them: see its ClusterRole"
    until(lambda: said in shop.logs(), shop.logs, timeout=90)
    assert shop.metrics()["weft_kubernetes_failing"] == 1
    assert said in ask_doctor(shop)
    check_call(shop)
    del role["metadata"]["resourceVersion"]
    shop.control.ask("PUT", "/apis/rbac.authorization.k8s.io/v1/clusterroles/weft", role)
    until(lambda: is_watching(shop), shop.logs, timeout=90)
