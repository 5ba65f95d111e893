# SPDX-License-Identifier: Apache-2.0
"""Pods by their names: what the API server says of them reaches their spans, whatever happens to it."""
import re
import subprocess
import time

import pytest

pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2", reason="opentelemetry-proto is not installed")
from otlp_sink import OtlpSink, TlsFiles  # noqa: E402
from weftlib import paths, servers  # noqa: E402
from weftlib.clock import patience, pause, until  # noqa: E402
from weftlib.http import Raw, get  # noqa: E402
from weftlib.kube import FORMS, NODE, Api, Pod, endpointslice, service  # noqa: E402
from weftlib.proc import free_port  # noqa: E402

pytestmark = pytest.mark.live


class Cluster:
    """An API server, a backend, and a weft between them."""

    def __init__(self, lab, hooks, tls=None):
        self.lab, self.hooks = lab, hooks
        self.api = Api(lab.tmp, tls)
        self.sink = OtlpSink()
        lab.ended += [self.api.stop, self.sink.stop]
        self.agent = None

    def weft(self, *args, include=(), start=True, env=None):
        self.agent = self.lab.weft(
            include=include, hooks=self.hooks[0], transport=self.hooks[1], exporters="otlp", start=start, env=env,
            args=[*self.api.args(), "--otlp-endpoint", self.sink.endpoint.removesuffix("/v1/traces"), *args])
        return self.agent

    def pod(self, name, known=True, **more):
        pod = Pod(self.lab, name, **more)
        if known:
            self.api.put("pods", pod.object())
        return pod

    def serve(self, pod, next_=None, env=None):
        port = free_port()
        host = pod.ip or "127.0.0.1"
        process = pod.process([servers.python(), paths.APPS / "pod.py"],
                              env={"LISTEN": f"{host}:{port}", "NEXT": next_ or "", **(env or {})})
        process.wait_port(port)
        return port

    def known(self):
        """Waits until weft knows what the API server knows now."""
        want = [len([p for p in self.api.objects["pods"].values()]), len(self.api.objects["services"])]

        def reached():
            m = self.agent.metrics()
            return m["weft_kubernetes_pods_synced"] == 1 and m["weft_kubernetes_services_synced"] == 1 and [
                m["weft_kubernetes_pods"], m["weft_kubernetes_services"]] == want
        until(reached, lambda: self.agent.log()[-2000:])

    def spans(self, n, timeout=10):
        """All spans, once there are n; then none may follow."""
        self.sink.wait(n, timeout=patience(timeout))
        pause(0.4)
        spans = self.sink.spans()
        assert len(spans) == n, [(s["name"], s["kind"], s["resource"].get("service.name")) for s in spans]
        assert self.sink.violations == []
        return spans

    def end(self, n, **more):
        self.agent.stop(**more)
        spans = self.sink.spans()
        assert len(spans) == n, [(s["name"], s["resource"].get("service.name")) for s in spans]
        assert self.sink.violations == []
        return spans


@pytest.fixture
def cluster(lab, hooks):
    yield Cluster(lab, hooks)


def test_names(cluster):
    """A call from pod to pod, by the address of a service's endpoint: every span, all of what its resource says."""
    api = cluster.api.start()
    api.node["metadata"]["labels"] = {"topology.kubernetes.io/region": "westeurope",
                                      "topology.kubernetes.io/zone": "westeurope-1",
                                      "node.kubernetes.io/instance-type": "Standard_D4s_v5",
                                      "kubernetes.azure.com/cluster": "MC_rg_shop_westeurope"}
    api.node["spec"]["providerID"] = "azure:///subscriptions/s-1/resourceGroups/mc_rg_shop_westeurope/x"
    front = cluster.pod("front-7d4b-x1", ip="127.1.0.1", labels={"pod-template-hash": "7d4b"},
                        owner=("ReplicaSet", "front-7d4b"), image="reg.example.com:5000/bank/front:2.1")
    leaf = cluster.pod("leaf-0", ip="127.1.0.2", owner=("StatefulSet", "leaf"),
                       annotations={"resource.opentelemetry.io/service.version": "from-note"})
    api.put("services", service("leaf-svc", ip="127.1.9.9"))
    agent = cluster.weft()
    cluster.known()
    leaf_port = cluster.serve(leaf)
    api.put("endpointslices", endpointslice("leaf-svc-x", "leaf-svc", ["127.1.0.2"], port=leaf_port))
    port = cluster.serve(front, next_=f"127.1.0.2:{leaf_port}")
    until(lambda: agent.metrics()["weft_kubernetes_endpoints"] == 1, "the endpoint is not known")
    assert get(port, "/call/1", host="127.1.0.1")[0] == 200
    spans = {(s["name"], s["kind"]): s for s in cluster.spans(3)}
    cluster.end(3)
    asked, call, answered = (spans[k] for k in sorted(spans, key=lambda k: spans[k]["start_unix_ns"]))
    assert call["parent_id"] == asked["span_id"] and answered["parent_id"] == call["span_id"]
    assert call["attributes"]["service.peer.name"] == "leaf-svc"
    assert call["attributes"]["service.peer.namespace"] == "bank"
    common = {"host.name": NODE, "host.type": "Standard_D4s_v5", "os.type": "linux",
              "process.executable.name": asked["resource"]["process.executable.name"],
              "service.namespace": "bank", "k8s.namespace.name": "bank", "k8s.container.name": "app",
              "k8s.container.restart_count": 0, "k8s.node.name": NODE,
              "k8s.node.uid": api.node["metadata"]["uid"], "k8s.cluster.uid": api.cluster_uid,
              "k8s.cluster.name": "shop", "cloud.provider": "azure", "cloud.platform": "azure.aks",
              "cloud.region": "westeurope", "cloud.availability_zone": "westeurope-1",
              "cloud.resource_id": "/subscriptions/s-1/resourceGroups/rg/providers/"
                                   "Microsoft.ContainerService/managedClusters/shop"}
    of_front = {"service.name": "front", "service.version": "2.1", "service.instance.id": "bank.front-7d4b-x1.app",
                "k8s.pod.name": "front-7d4b-x1", "k8s.pod.uid": front.uid, "k8s.replicaset.name": "front-7d4b",
                "k8s.deployment.name": "front", "container.id": front.id,
                "container.image.name": "reg.example.com:5000/bank/front"}
    of_leaf = {"service.name": "leaf", "service.version": "from-note", "service.instance.id": "bank.leaf-0.app",
               "k8s.pod.name": "leaf-0", "k8s.pod.uid": leaf.uid, "k8s.statefulset.name": "leaf",
               "container.id": leaf.id, "container.image.name": "reg.example.com/bank/app"}
    for span, own in ((asked, of_front), (call, of_front), (answered, of_leaf)):
        assert span["resource"] == {**common, **own}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_forms(cluster, form):
    """Every form that the path of a container's cgroup has."""
    cluster.api.start()
    pod = cluster.pod("app-1", form=form)
    port = cluster.serve(pod)
    cluster.weft()
    assert get(port, "/a")[0] == 200
    [span] = cluster.spans(1)
    cluster.end(1)
    assert span["resource"]["k8s.pod.name"] == "app-1"
    assert span["resource"]["container.id"] == pod.id


def test_only_pods(cluster):
    """With no rule, in Kubernetes: what is in no pod is left alone."""
    cluster.api.start()
    outside = servers.nginx(cluster.lab, "outside")
    pod = cluster.pod("app-1")
    port = cluster.serve(pod)
    cluster.weft()
    cluster.known()
    assert get(outside.port, "/leaf/a")[0] == 200
    assert get(port, "/a")[0] == 200
    [span] = cluster.spans(1)
    cluster.end(1)
    assert span["resource"]["k8s.pod.name"] == "app-1"


def test_spans_wait_for_an_api_server_that_is_down(cluster):
    """Nobody answers at the start: spans wait, and go out with their names; none is lost."""
    cluster.api.start().stop()
    pod = cluster.pod("app-1")
    port = cluster.serve(pod)
    agent = cluster.weft(start=False)
    agent.start(until="/metrics")
    assert get(port, "/a")[0] == 200
    until(lambda: agent.metrics()["weft_spans_waiting"] == 1, "a span that waits")
    assert "kubernetes: " in agent.get("/readyz")[1]
    cluster.api.start()
    [span] = cluster.spans(1)
    assert span["resource"]["k8s.pod.name"] == "app-1"
    assert agent.get("/readyz")[0] == 200
    cluster.end(1, expect_log="Kubernetes API")


def test_an_api_server_that_is_down_for_long(cluster):
    """Longer than spans wait: they go out without a name, and the same process has one when it is back."""
    cluster.api.start().stop()
    pod = cluster.pod("app-1")
    port = cluster.serve(pod)
    agent = cluster.weft("--kubernetes-wait", "1s", start=False)
    agent.start(until="/metrics")
    assert get(port, "/1")[0] == 200
    [first] = cluster.spans(1)
    assert "k8s.pod.name" not in first["resource"] and first["resource"]["container.id"] == pod.id
    pause(4)  # the time for which spans of the former name are expected
    cluster.api.start()
    until(lambda: agent.metrics()["weft_kubernetes_pods"] == 1, lambda: agent.log()[-2000:], timeout=20)
    assert get(port, "/2")[0] == 200
    second = cluster.spans(2)[1]
    assert second["resource"]["k8s.pod.name"] == "app-1"
    assert second["resource"]["process.executable.name"] == first["resource"]["process.executable.name"]
    cluster.end(2, expect_log="Kubernetes API")


@pytest.mark.parametrize("rule", [None, "namespace=shop"])
def test_a_pod_that_stays_unknown(cluster, rule):
    """The wait has an end. Then its spans go out with what is known of the process, but not where there are
    rules about pods: it may be what must not be traced."""
    cluster.api.start()
    pod = cluster.pod("app-1", known=False)
    port = cluster.serve(pod)
    agent = cluster.weft("--kubernetes-wait", f"{patience(1):g}s", *(["--exclude", rule] if rule else []))
    cluster.known()
    assert get(port, "/a")[0] == 200
    if rule:
        until(lambda: agent.metrics()["weft_spans_left_out_total"] == 1, "a span that is left out")
        cluster.end(0)
        return
    [span] = cluster.spans(1)
    cluster.end(1)
    assert "k8s.pod.name" not in span["resource"]
    assert span["resource"]["container.id"] == pod.id


def test_a_pod_that_lives_for_a_moment(cluster):
    """It has ended before the API server tells of it."""
    cluster.api.start()
    agent = cluster.weft()
    cluster.known()
    pod = cluster.pod("job-1", known=False, owner=("Job", "report-29401230"))
    port = cluster.serve(pod)
    assert get(port, "/a")[0] == 200
    cluster.lab.ended.pop()()
    until(lambda: agent.metrics()["weft_spans_waiting"] == 1, "a span that waits")
    cluster.api.put("pods", pod.object())
    cluster.api.delete("pods", "bank", "job-1")
    [span] = cluster.spans(1)
    cluster.end(1)
    assert span["resource"]["service.name"] == "report"
    assert span["resource"]["k8s.cronjob.name"] == "report"
    assert span["resource"]["k8s.job.name"] == "report-29401230"


def test_a_status_that_comes_late(cluster):
    """The pod is known before its status names the container."""
    cluster.api.start()
    pod = cluster.pod("app-1", known=False)
    cluster.api.put("pods", pod.object(status=False))
    cluster.weft()
    cluster.known()
    port = cluster.serve(pod)
    assert get(port, "/a")[0] == 200
    pause(0.5)
    assert cluster.sink.spans() == []
    cluster.api.put("pods", pod.object())
    [span] = cluster.spans(1)
    cluster.end(1)
    assert span["resource"]["k8s.container.name"] == "app"


SELECTIONS = {
    "namespace": (["namespace=bank"], [], {"front", "back"}),
    "not a namespace": ([], ["namespace=bank"], {"shop"}),
    "label": (["label=tier=front"], [], {"front", "shop"}),
    "annotation": (["annotation=example.com/team=pay*"], [], {"back"}),
    "owner": (["owner=Deployment/ba*"], [], {"back"}),
    "container": (["container=main"], [], {"shop"}),
    "pod": (["pod=front-*"], [], {"front"}),
    "include and exclude": (["namespace=*"], ["label=tier=front"], {"back", "system", "instrumented", "agented"}),
    "none": ([], [], {"front", "back", "shop"}),
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_selection(cluster, case):
    """By what is known of the pods; with no rule all but the system's and those with telemetry of their own."""
    include, exclude, expected = SELECTIONS[case]
    cluster.api.start()
    pods = {
        "front": (dict(labels={"tier": "front"}), {}),
        "back": (dict(annotations={"example.com/team": "payments"}, labels={"pod-template-hash": "abc"},
                      owner=("ReplicaSet", "back-abc")), {}),
        "shop": (dict(namespace="shop", labels={"tier": "front"}, container="main"), {}),
        "refused": (dict(annotations={"weft.io/trace": "false"}), {}),
        "system": (dict(namespace="kube-system"), {}),
        "instrumented": (dict(namespace="shop"), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}),
        "agented": (dict(annotations={"instrumentation.opentelemetry.io/inject-java": "true"}, namespace="shop"), {}),
    }
    ports, agent = {}, None
    for i, (name, (more, env)) in enumerate(pods.items()):
        if i == 4:  # some are there before weft
            rules = [x for r in exclude for x in ("--exclude", r)]
            agent = cluster.weft(*rules, include=include)
        ports[name] = cluster.serve(cluster.pod(f"{name}-1", **more), env=env)
    cluster.known()
    for name, port in ports.items():
        assert get(port, f"/{name}")[0] == 200
    spans = cluster.spans(len(expected))
    assert {s["attributes"]["url.path"].strip("/") for s in spans} == expected
    log = agent.log()
    said = {pod: what for what, pod in re.findall(r'msg="pod is (not traced|traced)"[^\n]*? pod=([a-z]+)-1', log)}
    assert said == {name: "traced" if name in expected else "not traced" for name in pods}, log
    cluster.end(len(expected))


def test_selection_changes_at_once(cluster):
    """An annotation begins and ends it, for a process that was of no interest before as well."""
    cluster.api.start()
    system = cluster.pod("dns-1", namespace="kube-system")
    app = cluster.pod("app-1")
    ports = {"system": cluster.serve(system), "app": cluster.serve(app)}
    agent = cluster.weft()
    cluster.known()
    assert get(ports["system"], "/1")[0] == get(ports["app"], "/1")[0] == 200
    assert len(cluster.spans(1)) == 1
    for pod, wish in ((system, "true"), (app, "false")):
        pod.annotations["weft.io/trace"] = wish
        cluster.api.put("pods", pod.object())
    until(lambda: "asked for by its pod" in agent.log() and "refused by its pod" in agent.log(),
          lambda: agent.log()[-2000:])
    assert get(ports["system"], "/2")[0] == get(ports["app"], "/2")[0] == 200
    spans = cluster.spans(2)
    assert [s["attributes"]["url.path"] for s in spans] == ["/1", "/2"]
    assert spans[1]["resource"]["k8s.namespace.name"] == "kube-system"
    cluster.end(2)


@pytest.mark.parametrize("trace", [False, True])
def test_probes(cluster, trace):
    """The kubelet's are left out, with the calls that come of them; a pod's that calls itself so is not."""
    cluster.api.start()
    leaf = cluster.pod("leaf-1", ip="127.1.0.2")
    app = cluster.pod("app-1", ip="127.1.0.1")
    next_ = f"127.1.0.2:{cluster.serve(leaf)}"
    port = cluster.serve(app, next_=next_)
    cluster.weft(*(["--trace-probes"] if trace else []))
    cluster.known()
    probe = {"headers": [("User-Agent", "kube-probe/1.34")]}
    assert get(port, "/call/probe", host="127.1.0.1", **probe)[0] == 200
    assert get(port, "/call/real", host="127.1.0.1")[0] == 200
    with Raw(port, "127.1.0.1", source="127.1.0.2") as raw:
        assert raw.get("/call/pods", **probe)[0] == 200
    spans = cluster.spans(9 if trace else 6)
    asked = {s["attributes"]["url.path"] for s in spans if s["attributes"].get("url.path", "").startswith("/call")}
    assert asked == {"/call/real", "/call/pods"} | ({"/call/probe"} if trace else set())
    cluster.end(len(spans))


def test_the_api_server_in_trouble(cluster):
    """Lists in pages, versions that are gone, told either way, tokens that are replaced, a server that asks
    for time, one that comes back: names stay known, and new ones become known."""
    api = cluster.api.start()
    api.page = 3
    api.fail = [("continue=", 410), ("/api/v1/services", 429, {"Retry-After": "1"}), ("/api/v1/nodes", 500)]
    fillers = [cluster.pod(f"filler-{i}") for i in range(7)]
    app = cluster.pod("app-1")
    port = cluster.serve(app)
    agent = cluster.weft()
    cluster.known()
    pages = [q for path, q in api.requests if path == "/api/v1/pods" and "watch" not in q]
    assert len([q for q in pages if "continue" not in q]) == 2, "the list was made anew"
    n = 0

    def still_fine(what):
        nonlocal n
        pod = cluster.pod(f"new-{n}")
        cluster.known()
        new = cluster.serve(pod)
        for p, path in ((port, f"/old/{n}"), (new, f"/new/{n}")):
            assert get(p, path)[0] == 200
        n += 2
        spans = cluster.spans(n)[-2:]
        assert sorted(s["resource"].get("k8s.pod.name", "?") for s in spans) == ["app-1", pod.name], what

    still_fine("start")
    api.expire()
    still_fine("gone by status")
    api.error_event = True
    api.expire()
    api.delete("pods", "bank", "filler-0")
    still_fine("gone by event")
    api.tokens = {"token-2"}
    api.write_token("token-2")
    api.drop_watches()
    still_fine("a new token")
    api.stop()
    api.delete("pods", "bank", "filler-1")
    time.sleep(2)  # as it is: the longer it is away, the later it is asked again
    api.start()
    still_fine("back again")
    watched = [q for path, q in api.requests if path == "/api/v1/pods" and q.get("watch")]
    assert watched and all(q["allowWatchBookmarks"] == "true" and 300 <= int(q["timeoutSeconds"]) <= 600
                           for q in watched)
    m = agent.metrics()
    assert m["weft_kubernetes_lists_total"] >= 5 and m["weft_spans_unplaced_total"] == 0
    assert fillers
    cluster.end(n, expect_log="Kubernetes API")


def test_what_is_not_allowed_is_said(cluster):
    """The rights that are missing, in the log, at readyz and in the status; the rest works."""
    api = cluster.api.start()
    api.fail = [("endpointslices", 403)] * 1000
    app = cluster.pod("app-1")
    port = cluster.serve(app)
    agent = cluster.weft()
    until(lambda: "endpointslices: forbidden; the service account needs to list and watch them" in agent.log(),
          lambda: agent.log()[-2000:])
    assert get(port, "/a")[0] == 200
    [span] = cluster.spans(1)
    assert span["resource"]["k8s.pod.name"] == "app-1"
    assert "forbidden" in agent.get("/status")[1]
    pause(2)
    assert agent.log().count("endpointslices: forbidden") == 1, "once"
    cluster.end(1, expect_log="Kubernetes API")


def noted(name, note):
    made = service(name)
    made["metadata"]["annotations"] = {"a": note}
    return made


def lists_of(api, kind):
    return [query for path, query in api.requests if path.endswith(kind) and "watch" not in query]


def test_objects_of_strangers(cluster):
    """Whoever can make objects cannot take the others' away: one with a NUL, one that is too long, in lists and in
    watches, and so many long ones that pages have to be smaller."""
    api = cluster.api.start()
    app = cluster.pod("app-1")
    api.put("services", noted("nul", "x\0y"))
    api.put("services", noted("huge", "<" * (3 << 20)))
    for i in range(150):
        api.put("services", noted(f"long-{i:03}", "x" * 60000))
    port = cluster.serve(app)
    agent = cluster.weft()

    def known(services):
        until(lambda: agent.metrics()["weft_kubernetes_services"] == services
              and agent.metrics()["weft_kubernetes_services_synced"] == 1, lambda: agent.log()[-2000:], timeout=30)

    known(151)
    assert 'msg="Kubernetes API: objects are too long, or make no sense: they are left out" kind=services objects=1' \
        in agent.log()
    assert {query["limit"] for query in lists_of(api, "services")} == {"500", "62"}
    count = len(lists_of(api, "services"))
    api.put("services", noted("huger", "<" * (5 << 20)))
    api.put("services", noted("hug", "<" * (3 << 20)))
    api.put("services", service("last"))
    known(152)
    assert len(lists_of(api, "services")) == count, "the watch went on"
    assert get(port, "/a")[0] == 200
    [span] = cluster.spans(1)
    assert span["resource"]["k8s.pod.name"] == "app-1"
    cluster.end(1, expect_log="Kubernetes API")


def test_answers_that_lead_nowhere(cluster):
    """A node that is gone is only asked for again; a watch that is refused is not repeated as it was; one that ends
    as it begins is tried less and less often."""
    api = cluster.api.start()
    api.fail = [("nodes/", 410), ("services?&watch=1", 400), *[("endpointslices?&watch=1", 400)] * 1000, *[("pods?fieldSelector=spec.nodeName%3Dnode-1&watch=1", 200)] * 1000]
    agent = cluster.weft()
    pause(8)
    assert {tuple(query) for path, query in api.requests if "/nodes/" in path} == {()}
    assert len(lists_of(api, "services")) == 2
    watches = [query for path, query in api.requests if path.endswith("/pods") and "watch" in query]
    assert 2 <= len(watches) < 12, len(watches)
    assert 2 <= len(lists_of(api, "endpointslices")) < 10, "less and less often"
    assert agent.log().count("endpointslices: HTTP status 400") == 1, "said once"
    api.fail = []
    app = cluster.pod("app-1")
    port = cluster.serve(app)
    until(lambda: agent.metrics()["weft_kubernetes_pods"] == 1, lambda: agent.log()[-2000:], timeout=60)
    assert get(port, "/a")[0] == 200
    [span] = cluster.spans(1)
    assert span["resource"]["k8s.pod.name"] == "app-1"
    cluster.end(1, expect_log="Kubernetes API")


def test_every_version_is_gone_at_once(cluster):
    """A server that lists and then says 410 to each watch is asked less and less often."""
    api = cluster.api.start()
    api.fail = [("watch=1", 410)] * 100000
    cluster.weft()
    pause(5)
    lists = [path for path, query in api.requests if "watch" not in query]
    assert len(lists) < 30, len(lists)
    api.fail = []
    app = cluster.pod("app-1")
    port = cluster.serve(app)
    until(lambda: cluster.agent.metrics()["weft_kubernetes_pods"] == 1, lambda: cluster.agent.log()[-2000:], timeout=60)
    assert get(port, "/a")[0] == 200
    [span] = cluster.spans(1)
    assert span["resource"]["k8s.pod.name"] == "app-1"
    cluster.end(1)


def test_tls(lab, hooks):
    """The server's certificate is checked against ca.crt, which can be replaced."""
    files = TlsFiles.make(lab.dir("tls"))
    other = TlsFiles.make(lab.dir("other"))
    cluster = Cluster(lab, hooks, tls=files)
    cluster.api.write_ca(other)
    cluster.api.start()
    app = cluster.pod("app-1")
    port = cluster.serve(app)
    agent = cluster.weft(start=False)
    agent.start(until="/metrics")
    until(lambda: re.search("Kubernetes API.*certificate", agent.log()), lambda: agent.log()[-2000:])
    cluster.api.write_ca(files)
    until(lambda: agent.metrics()["weft_kubernetes_pods_synced"] == 1, lambda: agent.log()[-2000:], timeout=20)
    assert get(port, "/a")[0] == 200
    [span] = cluster.spans(1)
    assert span["resource"]["k8s.pod.name"] == "app-1"
    cluster.end(1, expect_log="Kubernetes API")


def test_status(cluster):
    """What `weft status` shows, whole and of one pod."""
    cluster.api.start()
    traced = cluster.pod("app-1")
    refused = cluster.pod("web-1", annotations={"weft.io/trace": "false"})
    cluster.pod("empty-1", namespace="kube-system")
    ports = [cluster.serve(traced), cluster.serve(refused)]
    agent = cluster.weft()
    cluster.known()
    for port in ports:
        assert get(port, "/a")[0] == 200
    cluster.spans(1)

    def status(*args):
        return subprocess.run([paths.WEFT, "status", *args, "--listen", f"127.0.0.1:{agent.port}"], check=True,
                              capture_output=True, text=True).stdout

    rows = [re.split(r"\s{2,}", line) for line in status().splitlines()]
    table = rows[rows.index(["TRACED", "NAMESPACE", "POD", "CONTAINER", "PROGRAM", "PROCESSES", "REQUESTS",
                             "UNREADABLE", "WHY"]) + 1:]
    python = table[0][4]
    assert table == [
        ["yes", "bank", "app-1", "app", python, "1", "1", "0", "in a pod"],
        ["no", "bank", "web-1", "app", python, "1", "0", "0", "refused by its pod's annotation weft.io/trace"],
        ["no", "kube-system", "empty-1", "app", "-", "0", "0", "0",
         "in a system namespace (kubernetes.trace_system)"],
    ]
    one = status("web")
    assert "web-1" in one and "app-1" not in one
    assert "nothing on this node has that in its name" in status("nonsense")
    assert "kubernetes: ok; 3 pods of this node" in one
    cluster.end(1)


def test_pods_come_and_go(cluster):
    """Five hundred pods on the node and five thousand services, of which many change while others run for a
    moment: every span has its own pod's name, and the API server is asked no more for it."""
    api = cluster.api.start()
    for i in range(5000):
        api.put("services", service(f"svc-{i}", ip=f"10.96.{i // 250}.{i % 250}"))
        api.put("endpointslices", endpointslice(f"svc-{i}-x", f"svc-{i}", [f"10.10.{i // 250}.{i % 250}"]))
    for i in range(500):
        cluster.pod(f"idle-{i}")
    agent = cluster.weft()
    cluster.known()
    until(lambda: agent.metrics()["weft_kubernetes_endpoints"] == 5000, "the endpoints")
    before = agent.metrics()
    n = 0
    for turn in range(20):
        for i in range(25):
            api.delete("pods", "bank", f"idle-{turn * 25 + i}")
            cluster.pod(f"other-{turn}-{i}")
        for i in range(5):
            pod = cluster.pod(f"run-{turn}-{i}")
            assert get(cluster.serve(pod), f"/{pod.name}")[0] == 200
            cluster.lab.ended.pop()()
            api.delete("pods", "bank", pod.name)
            n += 1
    spans = cluster.spans(n, timeout=20)
    m = agent.metrics()
    print(f"\nrss {before['weft_process_resident_memory_bytes'] / 1e6:.1f} -> "
          f"{m['weft_process_resident_memory_bytes'] / 1e6:.1f} MB, cpu {m['weft_process_cpu_seconds_total']:.2f} s, "
          f"requests to the API server {m['weft_kubernetes_requests_total']:.0f}, events "
          f"{m['weft_kubernetes_events_total']:.0f}, read {m['weft_kubernetes_read_bytes_total'] / 1e6:.1f} MB")
    assert [s["resource"].get("k8s.pod.name") for s in spans] == [
        s["attributes"]["url.path"].strip("/") for s in spans]
    assert m["weft_kubernetes_requests_total"] <= before["weft_kubernetes_requests_total"] + 3  # a watch or two
    assert m["weft_kubernetes_objects_full_total"] == m["weft_spans_unplaced_total"] == 0
    cluster.end(n)


def test_places_of_resources_are_used_again(cluster):
    """More pods than there are places for resources: when those that ended are over for good, the next ones
    have names again. A span without a place has no pod's name, never another's."""
    cluster.api.start()
    agent = cluster.weft("--max-resources", "16", "--kubernetes-wait", "1s")
    cluster.known()

    def run(turn, count):
        for i in range(count):
            pod = cluster.pod(f"run-{turn}-{i}")
            assert get(cluster.serve(pod), f"/{pod.name}")[0] == 200
            cluster.lab.ended.pop()()

    run(0, 20)
    early = cluster.spans(20)
    assert agent.metrics()["weft_resource_overflows_total"] > 0
    # while half of them are free, nothing is asked to give way
    until(lambda: agent.metrics()["weft_resources"] <= 8, "places that are free", timeout=90)
    run(1, 4)
    late = cluster.spans(24)[20:]
    names = [(s["resource"].get("k8s.pod.name"), s["attributes"]["url.path"].strip("/")) for s in early + late]
    assert all(pod in (None, asked) for pod, asked in names), names
    assert all(pod for pod, _ in names[20:]), names
    cluster.end(24)
