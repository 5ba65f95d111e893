# SPDX-License-Identifier: Apache-2.0
"""A scripted API server, which can fail in every way that the real one does, and pods: processes in cgroups
of Kubernetes' forms."""
import http.server
import json
import ssl
import threading
import time
import urllib.parse
import uuid
import zlib
from pathlib import Path

from .cgroup import Cgroup

PATHS = {"/api/v1/pods": "pods", "/api/v1/services": "services",
         "/apis/discovery.k8s.io/v1/endpointslices": "endpointslices"}
NODE = "node-1"


class Expired(Exception):
    pass


class Api:
    """Objects by kind, with a history that watches follow. `fail` answers the next requests: a list of
    (part of the path, status, headers)."""

    def __init__(self, directory, tls=None):
        self.lock = threading.Condition()
        self.version, self.oldest = 100, 0
        self.objects = {"pods": {}, "services": {}, "endpointslices": {}}
        self.history = []  # (version, kind, event, object)
        self.tokens, self.requests, self.fail, self.page = {"token-1"}, [], [], 500
        self.generation = 0  # watches of an earlier one end
        self.error_event = False  # an expired watch is told by an event, not by a status
        self.bookmarks = True
        self.cluster_uid = str(uuid.uuid4())
        self.node = {"metadata": {"name": NODE, "uid": str(uuid.uuid4()), "labels": {}}, "spec": {}}
        self.credentials = directory / "serviceaccount"
        self.credentials.mkdir()
        (self.credentials / "namespace").write_text("weft")
        self.tls, self.server, self.port = tls, None, 0
        self.write_token("token-1")
        if tls:
            self.write_ca(tls)

    def write_token(self, token):
        (self.credentials / "token").write_text(token + "\n")

    def write_ca(self, tls):
        (self.credentials / "ca.crt").write_bytes(Path(tls.ca).read_bytes())

    # the server

    def start(self):
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.answer(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.server_cert, self.tls.server_key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True,
                                                     do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self):
        """Ends every watch and the listener; what it knows stays."""
        if self.server:
            self.drop_watches()
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def drop_watches(self):
        with self.lock:
            self.generation += 1
            self.lock.notify_all()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def args(self, *more):
        return ["--kubernetes", "on", "--kubernetes-api", self.url, "--kubernetes-credentials", self.credentials,
                "--node", NODE, *more]

    # what it holds

    def put(self, kind, obj):
        meta = obj["metadata"]
        key = (meta.get("namespace"), meta["name"])
        with self.lock:
            self.version += 1
            event = "MODIFIED" if key in self.objects[kind] else "ADDED"
            obj = json.loads(json.dumps(obj))
            obj["metadata"]["resourceVersion"] = str(self.version)
            self.objects[kind][key] = obj
            self.history.append((self.version, kind, event, obj))
            self.lock.notify_all()
        return obj

    def delete(self, kind, namespace, name):
        with self.lock:
            self.version += 1
            obj = self.objects[kind].pop((namespace, name))
            obj["metadata"]["resourceVersion"] = str(self.version)
            self.history.append((self.version, kind, "DELETED", obj))
            self.lock.notify_all()

    def expire(self):
        """Versions up to now are forgotten, as by a compaction; watches are cut."""
        with self.lock:
            self.oldest = self.version
            self.history = []
            self.version += 1
        self.drop_watches()

    # answers

    def answer(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        query = {k: v[0] for k, v in urllib.parse.parse_qs(url.query).items()}
        with self.lock:
            self.requests.append((url.path, query))
            fault = next((f for f in self.fail if f[0] in handler.path), None)
            if fault:
                self.fail.remove(fault)
        if fault:
            return self.status(handler, fault[1], fault[2] if len(fault) > 2 else {})
        if handler.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return self.status(handler, 401)
        if url.path == f"/api/v1/nodes/{NODE}":
            return self.json(handler, self.node)
        if url.path == "/api/v1/namespaces/kube-system":
            return self.json(handler, {"metadata": {"name": "kube-system", "uid": self.cluster_uid}})
        kind = PATHS.get(url.path)
        if not kind:
            return self.status(handler, 404)
        try:
            if query.get("watch") in ("1", "true"):
                return self.watch(handler, kind, query)
            return self.list(handler, kind, query)
        except Expired:
            return self.status(handler, 410)

    def status(self, handler, code, headers=()):
        self.json(handler, {"kind": "Status", "code": code, "message": "as asked"}, code, dict(headers))

    @staticmethod
    def json(handler, obj, code=200, headers=()):
        body = json.dumps(obj).encode()
        handler.send_response(code)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in dict(headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def selected(self, kind, obj):
        return kind != "pods" or obj["spec"].get("nodeName") == NODE

    def list(self, handler, kind, query):
        with self.lock:
            version, start = self.version, 0
            if "continue" in query:
                version, start = map(int, query["continue"].split("-"))
                if version <= self.oldest:
                    raise Expired
            assert kind != "pods" or query["fieldSelector"] == f"spec.nodeName={NODE}", query
            items = [o for _, o in sorted(self.objects[kind].items()) if self.selected(kind, o)]
        limit = min(int(query.get("limit", 500)), self.page)
        meta = {"resourceVersion": str(version)}
        if start + limit < len(items):
            meta["continue"] = f"{version}-{start + limit}"
        self.json(handler, {"kind": "List", "metadata": meta, "items": items[start:start + limit]})

    def watch(self, handler, kind, query):
        since = int(query["resourceVersion"])
        end = time.monotonic() + int(query.get("timeoutSeconds", 300))
        with self.lock:
            generation = self.generation
            if since <= self.oldest and not self.error_event:
                raise Expired
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        if since <= self.oldest:
            self.send(handler, {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}})
            return handler.wfile.write(b"0\r\n\r\n")
        bookmarked = since
        while time.monotonic() < end:
            with self.lock:
                news = [h for h in self.history if h[0] > since]
                if not news:
                    self.lock.wait(0.5)
                    news = [h for h in self.history if h[0] > since]
                if self.generation != generation:
                    handler.close_connection = True
                    return None
                version = self.version
            for at, of, event, obj in news:
                since = at
                if of == kind and self.selected(kind, obj):
                    self.send(handler, {"type": event, "object": obj})
            if not news and version > bookmarked and self.bookmarks and query.get("allowWatchBookmarks"):
                bookmarked = since = max(since, version)
                self.send(handler, {"type": "BOOKMARK", "object": {
                    "kind": kind, "metadata": {"resourceVersion": str(version)}}})
        return handler.wfile.write(b"0\r\n\r\n")

    @staticmethod
    def send(handler, event):
        line = json.dumps(event).encode() + b"\n"
        # in two pieces: lines come in any segmentation
        for piece in (line[:len(line) // 2], line[len(line) // 2:]):
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            handler.wfile.flush()


def container_id(*what):
    digest = "".join(f"{zlib.crc32(f'{what}{i}'.encode()):08x}" for i in range(8))
    return digest[:64]


class Pod:
    """A pod with one container, as the API server tells of it, and the cgroup of its processes."""

    def __init__(self, lab, name, namespace="bank", ip=None, form="cgroupfs", labels=None, annotations=None,
                 owner=None, container="app", image="reg.example.com/bank/app:1.0"):
        self.lab, self.name, self.namespace, self.ip, self.container = lab, name, namespace, ip, container
        self.uid, self.id = str(uuid.uuid4()), container_id(namespace, name, container, lab.tmp)
        self.labels, self.annotations, self.owner = dict(labels or {}), dict(annotations or {}), owner
        self.image, self.path_uid = image, self.uid
        if form == "static":
            self.path_uid = self.uid.replace("-", "")
            self.annotations.update({f"kubernetes.io/config.{what}": self.path_uid for what in ("hash", "mirror")})
        self.cgroup = Cgroup(FORMS[form].format(uid=self.path_uid, uid_=self.path_uid.replace("-", "_"), id=self.id),
                             parent=lab.cgroup)

    def object(self, status=True):
        meta = {"name": self.name, "namespace": self.namespace, "uid": self.uid, "labels": self.labels,
                "annotations": self.annotations}
        if self.owner:
            kind, name = self.owner
            meta["ownerReferences"] = [{"kind": kind, "name": name, "controller": True, "apiVersion": "v1", "uid": "x"}]
        obj = {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": {"nodeName": NODE},
               "status": {"phase": "Running"}}
        if self.ip:
            obj["status"]["podIPs"] = [{"ip": self.ip}]
        if status:
            obj["status"]["containerStatuses"] = [{"name": self.container, "image": self.image, "restartCount": 0,
                                                   "containerID": f"containerd://{self.id}"}]
        return obj

    def process(self, argv, **more):
        """Without a name of its own: the pod gives it one."""
        return self.lab.process(argv, name=more.pop("name", None), cgroup=self.cgroup, **more)


FORMS = {
    "cgroupfs": "kubepods/burstable/pod{uid}/{id}",
    "guaranteed": "kubepods/pod{uid}/{id}",
    "systemd": "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid_}.slice/cri-containerd-{id}.scope",
    "crio": "kubepods.slice/kubepods-pod{uid_}.slice/crio-{id}.scope",
    "colon": "containerd.service/kubepods-burstable-pod{uid_}.slice:cri-containerd:{id}",
    "kind": "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{uid_}.slice/cri-containerd-{id}.scope",
    "nested": "kubepods/pod{uid}/{id}/init.scope",
    "static": "kubepods/burstable/pod{uid}/{id}",
}


def service(name, namespace="bank", ip=None):
    spec = {"clusterIP": ip or "None", "clusterIPs": [ip or "None"]}
    return {"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def endpointslice(name, of, ips, namespace="bank", port=80):
    return {"kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"port": port}],
            "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": of}},
            "endpoints": [{"addresses": [ip]} for ip in ips]}
