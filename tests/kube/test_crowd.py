# SPDX-License-Identifier: Apache-2.0
"""Many objects: what they cost the agent and the API server."""
import collections
import os
import pathlib
import subprocess
import time
import uuid

from cluster import PORT
from node import HERE
from weftlib import cgroup
from weftlib.clock import until

PODS, SERVICES = 500, 5000
A_SECOND = 5  # pods; resource.max_resources bounds how many can have come and gone within a minute or so
CROWD = "crowd"


def usage(pid):
    """MiB resident, seconds of CPU."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":") for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    ticks = os.sysconf("SC_CLK_TCK")
    return int(status["VmRSS"].split()[0]) / 1024, (int(fields[11]) + int(fields[12])) / ticks


def folder(uid, container):
    uid = uid.replace("-", "_")
    return (pathlib.Path(cgroup.mount_point()) / "kubepods.slice/kubepods-burstable.slice" /
            f"kubepods-burstable-pod{uid}.slice" / f"cri-containerd-{container}.scope")


def make_pod(shop, number):
    """A pod that the API server knows and that is not run: its name, and the folder of its container's cgroup."""
    pod = shop.kubelet.create({
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": f"crowd-{number}", "namespace": CROWD},
        "spec": {"containers": [{"name": "app", "image": "registry.example.com/crowd:1"}]}})
    container = uuid.uuid4().hex * 2
    shop.kubelet.report(pod, {"app": container}, f"10.89.{number >> 8}.{number & 255}")
    at = folder(pod["metadata"]["uid"], container)
    at.mkdir(parents=True)
    return pod["metadata"]["name"], at


def test_hundreds_of_pods_and_thousands_of_services(shop, record_testsuite_property):
    shop.control.post("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": CROWD}})
    pid, rss_before, cpu_before = (p := shop.weft_pid()), *usage(p)
    before = shop.metrics()
    for i in range(SERVICES):
        shop.control.post(f"/api/v1/namespaces/{CROWD}/services", {
            "kind": "Service", "metadata": {"name": f"svc-{i}"}, "spec": {"ports": [{"port": 80}]}})
    until(lambda: shop.metrics()["weft_kubernetes_services"] >= SERVICES, shop.logs, timeout=60)
    known = shop.metrics()["weft_kubernetes_pods"]

    client = subprocess.Popen(["nsenter", f"--target={shop.node.pid}", "--net", "python3", HERE / "crowd.py",
                               f"http://{shop.endpoints['leaf']}:{PORT}/crowd"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
    names = []
    try:
        start = time.monotonic()
        for i in range(PODS):  # each is there for as long as the next ten, as in a roll-out
            time.sleep(max(0.0, start + i / A_SECOND - time.monotonic()))
            names.append(make_pod(shop, i))
            client.stdin.write(f"{names[-1][1]}\n")
            client.stdin.flush()
            assert client.stdout.readline() == "0\n"
            names[-1][1].rmdir()
            if i >= 10:
                shop.control.delete(f"/api/v1/namespaces/{CROWD}/pods/crowd-{i - 10}")
    finally:
        client.stdin.close()
        client.wait()
    spans = shop.spans(2 * PODS)
    asked = collections.Counter(s["resource"].get("k8s.pod.name") for s in spans if s["kind"] == "client")
    assert asked == collections.Counter(name for name, _ in names)
    answered = collections.Counter(s["resource"].get("k8s.pod.name") for s in spans if s["kind"] == "server")
    assert answered == {"leaf-0": PODS}
    by_id = {s["span_id"]: s for s in spans}
    wrong = [s for s in spans if s["kind"] == "server" and by_id[s["parent_id"]]["kind"] != "client"]
    assert not wrong and not [s for s in spans if s["kind"] == "client" and s["parent_id"]]

    for i in range(PODS - 10, PODS):
        shop.control.delete(f"/api/v1/namespaces/{CROWD}/pods/crowd-{i}")
    until(lambda: shop.metrics()["weft_kubernetes_pods"] == known, shop.logs, timeout=20)
    m = shop.metrics()
    rss, cpu = usage(pid)
    for name, value in (("rss_before_mib", rss_before), ("rss_after_mib", rss), ("cpu_seconds", cpu - cpu_before),
                        ("api_requests", m["weft_kubernetes_requests_total"] - before["weft_kubernetes_requests_total"]),
                        ("api_events", m["weft_kubernetes_events_total"] - before["weft_kubernetes_events_total"])):
        record_testsuite_property(name, round(value, 2))
    assert m["weft_kubernetes_requests_total"] - before["weft_kubernetes_requests_total"] <= 10, "watches are enough"
    assert m["weft_kubernetes_objects_full_total"] == m["weft_resource_overflows_total"] == 0
    assert rss - rss_before < 24, (rss_before, rss)


def test_it_fits_into_the_memory_of_the_chart(shop, record_testsuite_property):
    """The kernel's maps, which are its too, and loading the programs included."""
    limit, peak, kills = shop.memory()
    record_testsuite_property("memory_peak_mib", round(peak / (1 << 20), 2))
    assert limit == 128 << 20
    assert kills == 0 and peak < limit * 3 / 4, f"{peak} of {limit} bytes"


def test_a_list_of_many_pages(shop):
    """weft is started anew: it lists the services in pages, and knows them all."""
    shop.stop_weft()
    shop.start_weft()
    services = len(shop.control.get("/api/v1/services")["items"])
    assert services > SERVICES
    until(lambda: shop.metrics()["weft_kubernetes_services"] == services, shop.logs, timeout=60)
    # cluster, node, pods, slices; the services' pages; three watches
    requests = 4 + -(-services // 500) + 3
    until(lambda: shop.metrics()["weft_kubernetes_requests_total"] >= requests, shop.logs, timeout=20)
    assert shop.metrics()["weft_kubernetes_requests_total"] == requests
    assert shop.ask("/call/1") == 200
    assert [s["resource"]["k8s.pod.name"] for s in shop.spans(3)] == ["front-7d4b9c6f58-x2vqk"] * 2 + ["leaf-0"]
