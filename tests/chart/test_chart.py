# SPDX-License-Identifier: Apache-2.0
"""The chart: what it renders is valid, asks for no more than it must, and refuses what is wrong."""
import json
import re
import subprocess
from pathlib import Path

import pytest
import reference
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/weft"
PRESETS = sorted(p.name for p in CHART.glob("values-*.yaml"))
EVERYTHING = {
    "podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True}, "networkPolicy": {"enabled": True}, "podLabels": {"a": "b"},
    "podAnnotations": {"c": "d"}, "nodeSelector": {"pool": "apps"}, "priorityClassName": "system-node-critical",
    "keyVault": {"enabled": True, "name": "v", "tenantId": "t", "clientId": "c"},
    "env": [{"name": "WEFT_LOG_LEVEL", "value": "debug"}],
    "volumes": [{"name": "x", "emptyDir": {}}], "volumeMounts": [{"name": "x", "mountPath": "/x"}],
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-x"}}],
}
SETS = {
    "default": {}, "everything": EVERYTHING,
    "syscalls": {"config": {"capture": {"hooks": "syscalls"}}},
    "digest": {"image": {"digest": "sha256:" + "0" * 64}},
    "headers": {"secrets": {"otlpHeaders": {"name": "backend", "key": "all"}}},
    "its own account": {"serviceAccount": {"create": False, "name": "there"}, "rbac": {"create": False}},
    "names": {"nameOverride": "trace", "fullnameOverride": "tracer"},
}


def agent(found):
    [daemonset] = found["DaemonSet"]
    pod = daemonset["spec"]["template"]["spec"]
    [container] = pod["containers"]
    return daemonset, pod, container


def test_lint(tools):
    done = subprocess.run([tools("helm"), "lint", "--strict", str(CHART), "--set", "image.repository=x"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("files", [[], *([p] for p in PRESETS)], ids=str)
@pytest.mark.parametrize("values", SETS)
def test_valid(render, files, values):
    """Every object, by Kubernetes' own schemas where they are Kubernetes' own kinds."""
    validate = pytest.importorskip("kubernetes_validate")
    foreign = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "SecretProviderClass"}
    seen = set()
    for kind, objects in render(SETS[values], files).items():
        seen.add(kind)
        for obj in objects:
            assert obj["metadata"]["name"]
            if kind not in foreign:
                validate.validate(obj, "1.34", strict=True)
    assert {"DaemonSet", "ConfigMap", "Pod"} <= seen
    if values == "everything":
        assert foreign <= seen and {"NetworkPolicy", "Service"} <= seen


def test_a_schema_that_fails():
    """The validator does see what is wrong."""
    validate = pytest.importorskip("kubernetes_validate")
    with pytest.raises(Exception, match="nonsense"):
        validate.validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {
            "containers": [{"name": "x", "nonsense": 1}]}}, "1.34", strict=True)


@pytest.mark.parametrize("files", [[], *([p] for p in PRESETS)], ids=str)
def test_least_privilege(render, files):
    _, pod, container = agent(render(files=files))
    context = container["securityContext"]
    assert context == {"privileged": False, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                       "appArmorProfile": {"type": "Unconfined"},
                       "capabilities": {"drop": ["ALL"], "add": [
                           "BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE"]}}
    assert pod["securityContext"] == {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}
    assert pod["hostPID"] is True
    assert not {"hostNetwork", "hostIPC", "hostAliases"} & set(pod)
    paths = {v["hostPath"]["path"] for v in pod["volumes"] if "hostPath" in v}
    assert paths == {"/sys/fs/cgroup", "/sys/kernel/security"}
    assert all(m["readOnly"] for m in container["volumeMounts"])


@pytest.mark.parametrize("capture,more", [({"hooks": "fentry"}, ["CHECKPOINT_RESTORE"]),
                                          ({"hooks": "sock", "tls": False}, []),
                                          ({"hooks": "syscalls"}, ["CHECKPOINT_RESTORE", "SYS_ADMIN"]),
                                          ({"transport": "perf"}, ["CHECKPOINT_RESTORE", "SYS_ADMIN", "IPC_LOCK"])], ids=str)
def test_capabilities_follow_the_hooks(render, capture, more):
    _, pod, container = agent(render({"config": {"capture": capture}}))
    assert container["securityContext"]["capabilities"]["add"] == [
        "BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH", *more]
    tracing = any(v.get("hostPath", {}).get("path") == "/sys/kernel/tracing" for v in pod["volumes"])
    assert tracing == (capture.get("hooks") == "syscalls")


def test_rights(render):
    """Exactly what the agent asks the API server for: agent/enrich/kube_api.c."""
    [role] = render()["ClusterRole"]
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
    ]
    asked = set(re.findall(r'"/api(?:s/[\w.]+)?/v1/(\w+)', (ROOT / "agent/enrich/kube_api.c").read_text()))
    assert asked == {r for rule in role["rules"] for r in rule["resources"]}


def test_pod_security(render):
    """Of the baseline only what is documented is not kept; of the test's pod all of the restricted standard is."""
    found = render(EVERYTHING)
    _, pod, container = agent(found)
    broken = {"hostPID": pod.get("hostPID"), "hostPath": any("hostPath" in v for v in pod["volumes"]),
              "capabilities": bool(container["securityContext"]["capabilities"]["add"])}
    assert broken == {"hostPID": True, "hostPath": True, "capabilities": True}
    readme = (CHART / "README.md").read_text()
    assert "pod-security.kubernetes.io/enforce=privileged" in readme
    [test] = found["Pod"]
    [one] = test["spec"]["containers"]
    assert test["spec"]["securityContext"]["runAsNonRoot"] and test["spec"]["automountServiceAccountToken"] is False
    assert one["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                      "capabilities": {"drop": ["ALL"]}}


def test_where_it_runs(render):
    daemonset, pod, _ = agent(render())
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    [term] = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]},
        {"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]}]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert daemonset["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "10%"}


def test_the_configuration_is_one_that_weft_takes(render, tmp_path):
    """As rendered, with every preset, by weft itself; and its change restarts the pods."""
    weft = ROOT / "build/agent/weft"
    sums = set()
    for files in ([], *([p] for p in PRESETS)):
        for values in ({}, {"config": {"select": {"exclude": ["namespace=x"]}, "log": {"level": "debug"}}}):
            found = render(values, files)
            [config] = [c for c in found["ConfigMap"] if "weft.yaml" in c["data"]]
            path = tmp_path / "weft.yaml"
            path.write_text(config["data"]["weft.yaml"])
            done = subprocess.run([weft, "check-config", "--config", path], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            sums.add(agent(found)[0]["spec"]["template"]["metadata"]["annotations"]["checksum/config"])
    assert len(sums) == 2


def test_image(render):
    def image(**values):
        return agent(render({"image": values}))[2]["image"]
    digest = "sha256:" + "1" * 64
    assert image(repository="r.example.com/weft") == "r.example.com/weft:0.1.0"
    assert image(registry="r.example.com", repository="weft", tag="2") == "r.example.com/weft:2"
    assert image(registry="r.example.com", repository="weft", tag="2", digest=digest) == f"r.example.com/weft@{digest}"


def test_probes_ask_where_weft_listens(render):
    _, _, container = agent(render({"config": {"listen": "0.0.0.0:9999"}}))
    assert container["ports"] == [{"name": "http", "containerPort": 9999}]
    paths = {k: container[k]["httpGet"]["path"] for k in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    # which YAML would read as an octal number
    assert agent(render({"config": {"listen": ":010"}}))[2]["ports"][0]["containerPort"] == 10


def test_no_secret_in_a_configmap(render):
    found = render(EVERYTHING)
    _, pod, container = agent(found)
    headers = next(e for e in container["env"] if e["name"] == "OTEL_EXPORTER_OTLP_HEADERS")
    assert headers["valueFrom"]["secretKeyRef"] == {"name": "weft-otlp-headers", "key": "headers"}
    [vault] = found["SecretProviderClass"]
    assert vault["spec"]["secretObjects"][0]["secretName"] == "weft-otlp-headers"
    assert "Secret" not in found
    assert "headers" not in str([c["data"].get("weft.yaml") for c in found["ConfigMap"] if "data" in c])
    assert any(v.get("csi", {}).get("driver") == "secrets-store.csi.k8s.io" for v in pod["volumes"])


REFUSED = [
    ({"config": {"otlp": {"headers": "a=b"}}}, "config.otlp.headers: would end in a ConfigMap"),
    ({"config": {"otlp": {"endpoint": "https://user:pass@host:4318"}}}, "config.otlp.endpoint: holds a password"),
    ({"env": [{"name": "OTEL_EXPORTER_OTLP_HEADERS", "value": "a=b"}]}, "Use valueFrom.secretKeyRef"),
    ({"config": {"listen": "off"}}, "config.listen: needs an address and a port"),
    ({"config": {"captrue": {}}}, "captrue"),
    ({"config": {"capture": {"hook": "sock"}}}, "hook"),
    ({"config": {"capture": {"hooks": "kprobe"}}}, "hooks"),
    ({"config": {"log": {"level": "loud"}}}, "level"),
    ({"config": {"budget": {"cpu_limit": 2}}}, "cpu_limit"),
    ({"privileged": True}, "privileged"),
    ({"image": {"tag": "latest"}}, "tag"),
    ({"image": {"digest": "sha256:12"}}, "digest"),
    ({"image": {"repository": ""}}, "image.repository: where the image was pushed to"),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"extraCapabilities": ["ALL"]}, "extraCapabilities"),
    ({"seccompProfile": "/etc/weft.json"}, "seccompProfile"),
    ({"seccompProfile": ""}, "seccompProfile"),
    ({"serviceAccount": {"create": False}}, "serviceAccount.name: without serviceAccount.create"),
    ({"keyVault": {"enabled": True}}, "keyVault.clientId: which workload identity"),
    ({"podMonitor": {"enable": True}}, "enable"),
    ({"maxUnavailable": "ten"}, "maxUnavailable"),
    ({"maxUnavailable": "0%"}, "maxUnavailable"),
    ({"podLabels": {"azure.workload.identity/use": True}}, "want string"),
    ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels: app.kubernetes.io/name is how"),
    ({"podMonitor": {"labels": {"release": 1}}}, "want string"),
    ({"config": {"listen": "127.0.0.1:9464"}}, "config.listen: the kubelet's probes come from outside"),
    ({"config": {"otlp": {"endpoint": "https://host/v1?api-key=x"}}}, "holds a credential in its query"),
    ({"resources": {"limit": {}}}, "limit"),
    ({"terminationGracePeriodSeconds": 5}, "5 is not longer than config.drain (5s)"),
    ({"config": {"drain": "1m"}}, "15 is not longer than config.drain (1m)"),
    ({"config": {"drain": 20}}, "/config/drain"),
    ({"config": {"drain": "0.5m"}}, "/config/drain"),
    ({"config": {"drain": "1m30s"}}, "/config/drain"),
    ({"config": {"kubernetes": {"wait": 5}}}, "/config/kubernetes/wait"),
    ({"extraCapabilities": ["CAP_SYS_ADMIN"]}, "extraCapabilities: CAP_SYS_ADMIN: Kubernetes' names are without CAP_"),
    ({"config": {"listen": ":99999"}}, "config.listen: 99999 is not a port: 1 to 65535"),
    ({"config": {"listen": ":0"}}, "config.listen: 0 is not a port"),
    ({"config": {"listen": ":" + "9" * 20}}, "is not a port"),
    ({"networkPolicy": {"dnsPorts": []}}, "/networkPolicy/dnsPorts"),
]


@pytest.mark.parametrize("grace,drain", [(6, None), (1, "900ms"), (61, "1m"), (1, "0s"), (1, 0), (1, "0"),
                                         (5, " 4 s ")])
def test_there_is_time_to_send_what_is_left(render, grace, drain):
    values = {"terminationGracePeriodSeconds": grace, **({} if drain is None else {"config": {"drain": drain}})}
    assert agent(render(values))[1]["terminationGracePeriodSeconds"] == grace


@pytest.mark.parametrize("values,why", REFUSED, ids=lambda x: x if isinstance(x, str) else "")
def test_refused(render, values, why):
    assert why in render(values, fails=True)


NUMBERS = ("", "0", "00", "1", "05", "10", "11", "24", "25", "60", "61", "600", "601", "1440", "1441", "3600", "3601",
           "60000", "60001", "86400", "86401", "600000", "600001", "3600000", "3600001", "9" * 30)
TIMES = [*(number + unit for number in NUMBERS for unit in ("ms", "s", "m", "h", "")),
         "5 s", "5\ts", " 5s ", "1m30s", "0.5m", "-1s", "5S", "5sec", "s", 0, 5, 20, True]


def test_times_are_those_that_weft_takes(tmp_path):
    """What the schema says of a time is what weft says of it."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = reference.options()
    path = tmp_path / "weft.yaml"
    keys = [m[1] for m in re.finditer(r"^\| `([\w.]+)` .*\| (?:a time|whole seconds)", (ROOT / "README.md").read_text(),
                                      re.M)]
    assert len(keys) == 6
    differ = []
    for key in keys:
        for time in TIMES:
            value = time
            for name in reversed(key.split(".")):
                value = {name: value}
            path.write_text(yaml.safe_dump(value))
            done = subprocess.run([ROOT / "build/agent/weft", "check-config", "--config", path], capture_output=True,
                                  check=False)
            if jsonschema.Draft7Validator(schema).is_valid(value) != (done.returncode == 0):
                differ.append((key, time, done.returncode))
    assert not differ


def test_the_test_runs_where_weft_does(render):
    """`helm test` says something about weft only if nothing but weft can make it fail."""
    certificate = {"name": "certs", "secret": {"secretName": "ca", "defaultMode": 0o400}}
    found = render({
        "image": {"pullSecrets": ["registry"]}, "nodeSelector": {"pool": "apps"},
        "tolerations": [{"key": "pool", "operator": "Exists"}], "secrets": {"otlpHeaders": {"name": "backend"}},
        "config": {"otlp": {"certificate": "/certs/ca.pem"}}, "env": [{"name": "WEFT_LOG_LEVEL", "value": "debug"}],
        "volumes": [certificate], "volumeMounts": [{"name": "certs", "mountPath": "/certs"}]})
    _, pod, container = agent(found)
    [test] = [p["spec"] for p in found["Pod"]]
    [one] = test["containers"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "apps"}
    for key in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity", "serviceAccountName"):
        assert test[key] == pod[key], key
    assert one["env"] == container["env"]
    assert {"WEFT_LOG_LEVEL", "OTEL_EXPORTER_OTLP_HEADERS"} <= {e["name"] for e in one["env"]}
    assert [m["mountPath"] for m in one["volumeMounts"]] == ["/etc/weft", "/certs"]
    assert certificate in test["volumes"] and certificate in pod["volumes"]
    assert {"name": "certs", "mountPath": "/certs"} in container["volumeMounts"]
    # it is not root, and a Secret's file of mode 0400 is root's
    assert test["securityContext"]["fsGroup"] == test["securityContext"]["runAsUser"]


@pytest.mark.parametrize("otlp,port", [
    ({}, 4318), ({"endpoint": "https://backend.example.com/otlp"}, 443), ({"endpoint": "HTTP://[::1]/a:1?b=:2"}, 80),
    ({"endpoint": "http://[fd00::1]:8080"}, 8080),
    ({"endpoint": "http://a:1111", "traces_endpoint": "http://b:2222/v1/traces"}, 2222),
    ({"endpoint": "collector:14317", "protocol": "grpc"}, 14317), ({"endpoint": "collector", "protocol": "grpc"}, 443),
    ({"endpoint": "collector", "protocol": "grpc", "insecure": True}, 80)], ids=str)
def test_network_policy(render, otlp, port):
    """Out goes what weft asks: DNS, the API server, the collector where it is. Probes and scrapes come in only."""
    def out(**values):
        [policy] = render({"networkPolicy": {"enabled": True, **values.pop("policy", {})}, **values})["NetworkPolicy"]
        assert policy["spec"]["ingress"] == [{"ports": [{"port": 9464, "protocol": "TCP"}]}]
        [rule] = policy["spec"]["egress"]
        return [(p["protocol"], p["port"]) for p in rule["ports"]]
    usual = [443, 6443, 4317, 4318]
    tcp = [port, *(p for p in usual if p != port)]
    assert out(config={"otlp": otlp}) == [("UDP", 53), ("TCP", 53), *(("TCP", p) for p in tcp)]
    assert out(config={"otlp": otlp, "exporters": ["json"]}, policy={"egressPorts": [16443], "dnsPorts": [5353]}) == [
        ("UDP", 5353), ("TCP", 5353), ("TCP", 16443)]


def test_api_groups(render):
    azure = "azmonitoring.coreos.com/v1"
    found = render(EVERYTHING)
    assert found["ServiceMonitor"][0]["apiVersion"] == "monitoring.coreos.com/v1"
    found = render({"serviceMonitor": {"enabled": True, "apiVersion": azure}})
    assert found["ServiceMonitor"][0]["apiVersion"] == azure
    assert found["Service"][0]["apiVersion"] == "v1"


@pytest.mark.parametrize("name,profile", [
    ("Unconfined", {"type": "Unconfined"}), ("RuntimeDefault", {"type": "RuntimeDefault"}),
    ("profiles/weft.json", {"type": "Localhost", "localhostProfile": "profiles/weft.json"})])
def test_profiles(render, name, profile):
    _, pod, container = agent(render({"seccompProfile": name, "appArmorProfile": name}))
    assert pod["securityContext"]["seccompProfile"] == profile
    assert container["securityContext"]["appArmorProfile"] == profile


@pytest.mark.parametrize("enabled,word", [("on", "on"), (True, "on"), ("auto", "auto"), ("off", "off"), (False, "off")])
def test_a_token_only_for_who_asks(render, tmp_path, enabled, word):
    """YAML's off is false, and weft takes the word only."""
    found = render({"config": {"kubernetes": {"enabled": enabled}}})
    assert agent(found)[1]["automountServiceAccountToken"] is (word != "off")
    assert {"ClusterRole", "ClusterRoleBinding"} & set(found) == (
        set() if word == "off" else {"ClusterRole", "ClusterRoleBinding"})
    path = tmp_path / "weft.yaml"
    path.write_text(found["ConfigMap"][0]["data"]["weft.yaml"])
    assert yaml.safe_load(path.read_text())["kubernetes"]["enabled"] == word
    subprocess.run([ROOT / "build/agent/weft", "check-config", "--config", path], capture_output=True, check=True)


def test_metrics_exist(render):
    """Whatever alerts and dashboard ask for is a metric that weft has."""
    source = (ROOT / "agent/self/metrics.c").read_text()
    names = {f"weft_{n}" for n in re.findall(r'\{"(\w+)", (?:"|")', source)}
    names |= {f"weft_{n}" for n in re.findall(r'(?:number|real|head)\(out, "(\w+)"', source)}
    for header, prefix in (("agent/core/counters.h", "weft_"), ("include/weft/counters.h", "weft_kernel_")):
        text = (ROOT / header).read_text()
        names |= {f"{prefix}{n}_total" for n in re.findall(r'X\(\w+, "(\w+)"', text)}
    found = render(EVERYTHING)
    texts = json.dumps(found["PrometheusRule"]) + next(
        c["data"]["weft.json"] for c in found["ConfigMap"] if "weft.json" in c.get("data", {}))
    asked = set(re.findall(r"weft_\w+", texts))
    assert len(asked) > 12 and asked <= names, asked - names
    json.loads(next(c["data"]["weft.json"] for c in found["ConfigMap"] if "weft.json" in c.get("data", {})))


def test_older_clusters_get_annotations(render):
    found = render(more=["--kube-version", "1.28.0"])
    daemonset, _, container = agent(found)
    assert "appArmorProfile" not in container["securityContext"]
    notes = daemonset["spec"]["template"]["metadata"]["annotations"]
    assert notes["container.apparmor.security.beta.kubernetes.io/weft"] == "unconfined"


def test_the_reference_is_up_to_date():
    assert (CHART / "values.schema.json").read_text() == reference.schema(), "run tests/chart/reference.py"
    assert (CHART / "README.md").read_text() == reference.readme(), "run tests/chart/reference.py"
    described = {key for key, _, _ in reference.rows()}

    def keys(value, path=""):
        for k, v in value.items():
            if isinstance(v, dict) and v and not f"{path}{k}".endswith(reference.FREE):
                yield from keys(v, f"{path}{k}.")
            else:
                yield f"{path}{k}"
    assert set(keys(yaml.safe_load((CHART / "values.yaml").read_text()))) - described == set()


def test_plain_manifests(tools):
    made = subprocess.run([ROOT / "deploy/kubernetes/render.sh", tools("helm")], capture_output=True, text=True,
                          check=True).stdout
    assert (ROOT / "deploy/kubernetes/weft.yaml").read_text() == made, "run deploy/kubernetes/render.sh"


def test_notes(tools):
    """What a person reads after the installation: the commands exist, in the right namespace."""
    done = subprocess.run([tools("helm"), "install", "weft", str(CHART), "--dry-run=client", "--namespace", "tracing",
                           "--set", "image.repository=x"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.split("NOTES:")[1]
    for command in ("kubectl -n tracing exec ds/weft -- weft status", "kubectl -n tracing logs ds/weft",
                    "helm -n tracing test weft"):
        assert command in notes
