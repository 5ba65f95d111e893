# SPDX-License-Identifier: Apache-2.0
"""A strict OTLP trace receiver, over HTTP and gRPC, by opentelemetry-proto's own classes.

It decodes every request, checks what it decodes against the protocol and the semantic conventions
(`violations`), keeps the spans (`spans()`), and can misbehave on demand (`faults`).

    with OtlpSink() as sink:          # protocol="grpc", tls=TlsFiles(...)
        ... export to sink.endpoint ...
        assert not sink.violations

    python otlp_sink.py --port 4318 [--grpc] [--out spans.jsonl]
"""
import argparse
import collections
import dataclasses
import gzip
import http.server
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent import futures

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service_pb
from opentelemetry.proto.trace.v1 import trace_pb2

try:
    import grpc
    from google.rpc import error_details_pb2, status_pb2
except ImportError:
    grpc = None

TRACES_PATH = "/v1/traces"
GRPC_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
SCHEMA_PREFIX = "https://opentelemetry.io/schemas/"
MESSAGE_MAX = 4 * 1024 * 1024
LINKS = {"header", "socket", "thread", "forward"}
KIND = trace_pb2.Span.SpanKind
ERROR = trace_pb2.Status.STATUS_CODE_ERROR

REQUIRED = {
    KIND.SPAN_KIND_SERVER: ("http.request.method", "url.path", "url.scheme"),
    KIND.SPAN_KIND_CLIENT: ("http.request.method", "server.address", "server.port", "url.full"),
}
TYPES = {
    "http.request.method": str, "url.path": str, "url.scheme": str, "url.full": str, "url.query": str,
    "http.route": str, "http.response.status_code": int, "error.type": str, "server.address": str,
    "server.port": int, "client.address": str, "client.port": int, "network.peer.address": str,
    "network.peer.port": int, "network.protocol.version": str, "network.protocol.name": str,
    "user_agent.original": str, "http.request.method_original": str, "weft.link": str,
}
METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY",
           "_OTHER"}


@dataclasses.dataclass
class Fault:
    """What the next request meets; each is used once."""
    status: int = 200                 # HTTP
    code: str = ""                    # gRPC: a name of grpc.StatusCode
    retry_after: str = ""             # HTTP: the header's value
    retry_delay: float | None = None  # gRPC: RetryInfo
    rejected: int = 0                 # partial success
    message: str = ""
    delay: float = 0                  # before the answer
    drop: bool = False                # close the connection without an answer
    body: bytes | None = None         # answer with this instead


@dataclasses.dataclass
class Request:
    time: float
    headers: dict
    size: int         # on the wire
    plain_size: int   # after decompression
    spans: int        # recorded from it: 0 if a fault refused it
    peer: tuple
    outcome: int | str


@dataclasses.dataclass
class TlsFiles:
    ca: str
    server_cert: str
    server_key: str
    client_cert: str
    client_key: str

    @staticmethod
    def make(directory):
        """A test CA, a server's certificate for localhost and a client's, by openssl."""
        def openssl(*args):
            subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=directory)

        names = ("server", "client")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                "2", "-subj", "/CN=weft test CA", "-keyout", "ca.key", "-out", "ca.pem")
        for name in names:
            extension = directory / f"{name}.ext"
            extension.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                    f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "2", "-extfile", extension.name, "-out", f"{name}.pem")
        paths = [directory / f"{n}.{kind}" for n in names for kind in ("pem", "key")]
        return TlsFiles(str(directory / "ca.pem"), *map(str, paths))


def value_of(any_value):
    which = any_value.WhichOneof("value")
    if which is None:
        return None
    value = getattr(any_value, which)
    if which == "array_value":
        return [value_of(v) for v in value.values]
    if which == "kvlist_value":
        return {kv.key: value_of(kv.value) for kv in value.values}
    return value


def attributes_of(pairs):
    return {kv.key: value_of(kv.value) for kv in pairs}


class Checker:
    """What is wrong with a request, as a list of sentences."""

    def __init__(self):
        self.found = []
        self.where = ""

    def check(self, good, what):
        if not good:
            self.found.append(f"{self.where}: {what}")

    def request(self, request, raw):
        self.where = "request"
        self.check(request.resource_spans, "empty envelope")
        # what the classes do not know is kept, but not where deterministic packing leaves it
        self.check(len(request.SerializeToString(deterministic=True)) == len(raw), "not canonical")
        self.unknown(request)
        seen = set()
        for group in request.resource_spans:
            self.resource_spans(group)
            key = group.resource.SerializeToString(deterministic=True)
            self.check(key not in seen, "a resource in two groups")
            seen.add(key)

    def unknown(self, message):
        try:
            from google.protobuf import unknown_fields
            self.check(not len(unknown_fields.UnknownFieldSet(message)),
                       f"unknown fields in {message.DESCRIPTOR.name}")
        except ImportError:
            pass
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            repeated = value if not hasattr(value, "DESCRIPTOR") else [value]
            for sub in repeated:
                self.unknown(sub)

    def attributes(self, pairs):
        keys = [kv.key for kv in pairs]
        self.check(len(keys) == len(set(keys)), f"attribute twice in {keys}")
        for kv in pairs:
            self.check(kv.key, "attribute without a key")
            self.check(kv.value.WhichOneof("value"), f"attribute {kv.key} without a value")

    def resource_spans(self, group):
        self.where = "resource"
        self.attributes(group.resource.attributes)
        attributes = attributes_of(group.resource.attributes)
        self.check(attributes.get("service.name"), "no service.name")
        self.check(group.schema_url.startswith(SCHEMA_PREFIX), f"schema_url {group.schema_url!r}")
        self.check(group.scope_spans, "no scope_spans")
        for scope in group.scope_spans:
            self.check(scope.scope.name == "weft" and scope.scope.version, "scope is not weft with a version")
            self.check(scope.schema_url.startswith(SCHEMA_PREFIX), f"scope schema_url {scope.schema_url!r}")
            self.check(scope.spans, "no spans")
            for span in scope.spans:
                self.span(span)

    def span(self, span):
        self.where = f"span {span.span_id.hex()} {span.name!r}"
        self.check(len(span.trace_id) == 16 and any(span.trace_id), "trace_id")
        self.check(len(span.span_id) == 8 and any(span.span_id), "span_id")
        self.check(len(span.parent_span_id) in (0, 8), "parent_span_id's length")
        self.check(not span.parent_span_id or any(span.parent_span_id), "parent_span_id is zero")
        self.check(span.parent_span_id != span.span_id, "its own parent")
        self.check(span.name, "no name")
        self.check(span.kind in REQUIRED, f"kind {span.kind}")
        now = time.time_ns()
        self.check(0 < span.start_time_unix_nano <= span.end_time_unix_nano, "ends before it starts")
        self.check(now - 86400e9 < span.start_time_unix_nano, "started more than a day ago")
        self.check(span.end_time_unix_nano < now + 5e9, "ends in the future")
        self.check(span.flags & 0xff <= 1, f"flags {span.flags:#x}")
        self.check(bool(span.flags & 0x100) == bool(span.parent_span_id), "HAS_IS_REMOTE without a parent, or not with one")
        self.check(not span.flags & ~0x3ff, f"flags {span.flags:#x}")
        self.check(span.status.code in (0, 1, 2) and not span.dropped_attributes_count, "status or drops")
        self.attributes(span.attributes)
        self.conventions(span, attributes_of(span.attributes))

    def conventions(self, span, attributes):
        for key, value in attributes.items():
            if key in TYPES:
                self.check(isinstance(value, TYPES[key]), f"type of {key}: {value!r}")
        link = attributes.get("weft.link")
        self.check(link in LINKS if span.parent_span_id else link is None, f"weft.link {link!r}")
        for key in REQUIRED.get(span.kind, ()):
            # a call that was refused has no message
            if "http.request.method" in attributes or key.startswith("server."):
                self.check(key in attributes, f"no {key}")
        method, status = attributes.get("http.request.method"), attributes.get("http.response.status_code")
        if method is None:
            self.check("error.type" in attributes, "neither a method nor an error")
            return
        self.check(method in METHODS, f"method {method!r}")
        prefix = "HTTP" if method == "_OTHER" else method
        self.check(span.name == prefix or span.name.startswith(prefix + " "), "name is not {method} {route}")
        if "http.route" in attributes:
            self.check(span.name == f"{prefix} {attributes['http.route']}", "name without the route")
        else:
            self.check(span.name == prefix, "name with more than the method, but no route")
        if not isinstance(status, int):
            self.check("error.type" in attributes and span.status.code == ERROR, "no status, no error")
            return
        self.check(100 <= status <= 999, f"status {status}")
        failed = status >= (400 if span.kind == KIND.SPAN_KIND_CLIENT else 500)
        if failed:
            self.check(attributes.get("error.type"), f"status {status} without error.type")
            self.check(span.status.code == ERROR, f"status {status} is no error")


def record_of(span, resource, scope):
    return {
        "trace_id": span.trace_id.hex(), "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() or None, "name": span.name,
        "kind": KIND.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        "status": ("unset", "ok", "error")[span.status.code], "flags": span.flags,
        "start_unix_ns": span.start_time_unix_nano, "end_unix_ns": span.end_time_unix_nano,
        "trace_state": span.trace_state, "attributes": attributes_of(span.attributes),
        "resource": resource, "scope": {"name": scope.name, "version": scope.version},
    }


class OtlpSink:
    def __init__(self, port=0, protocol="http", tls=None, client_cert=False, out=None, host="127.0.0.1"):
        self.protocol, self.tls, self.client_cert, self.out, self.host = protocol, tls, client_cert, out, host
        self.faults = collections.deque()
        self.requests, self.violations = [], []
        self._spans, self._lock = [], threading.Lock()
        self._server = self._grpc_server(port) if protocol == "grpc" else self._http_server(port)
        scheme = "https" if tls else "http"
        path = TRACES_PATH if protocol == "http" else ""
        self.endpoint = f"{scheme}://localhost:{self.port}{path}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def spans(self):
        with self._lock:
            return list(self._spans)

    def wait(self, count, timeout=10):
        """The spans, once there are `count`; what there is when the time is over."""
        end = time.monotonic() + timeout
        while len(self.spans()) < count and time.monotonic() < end:
            time.sleep(0.02)
        return self.spans()

    def stop(self):
        if self.protocol == "grpc":
            self._server.stop(0).wait()
            return
        self._server.shutdown()
        self._server.server_close()

    def next_fault(self):
        with self._lock:
            return self.faults.popleft() if self.faults else Fault()

    def take(self, raw, fault, accept, request):
        """Checks a request and, if it is accepted, keeps its spans. The reply."""
        checker = Checker()
        message = service_pb.ExportTraceServiceRequest()
        try:
            message.ParseFromString(raw)
            checker.request(message, raw)
        except Exception as error:  # whatever the decoder does not take
            checker.check(False, f"cannot be decoded: {error}")
        records = [record_of(span, attributes_of(group.resource.attributes), scope.scope)
                   for group in message.resource_spans for scope in group.scope_spans for span in scope.spans]
        request.spans = len(records) if accept else 0
        with self._lock:
            self.requests.append(request)
            self.violations += checker.found
            if accept:
                self._spans += records
                if self.out:
                    self.out.writelines(json.dumps(r) + "\n" for r in records)
                    self.out.flush()
        reply = service_pb.ExportTraceServiceResponse()
        if fault.rejected or fault.message:
            reply.partial_success.rejected_spans = fault.rejected
            reply.partial_success.error_message = fault.message
        return reply

    def violation(self, what):
        with self._lock:
            self.violations.append(what)

    # HTTP

    def _http_server(self, port):
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def do_POST(self):
                sink.http_post(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET

            def handle_error(self, *_):
                pass

        server = Server((self.host, port), Handler)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.server_cert, self.tls.server_key)
            if self.client_cert:
                context.load_verify_locations(self.tls.ca)
                context.verify_mode = ssl.CERT_REQUIRED
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    def http_post(self, handler):
        headers = {k.lower(): v for k, v in handler.headers.items()}
        body = raw = handler.rfile.read(int(headers.get("content-length", 0)))
        if handler.path != TRACES_PATH:
            self.violation(f"path {handler.path}")
        if headers.get("content-type") != "application/x-protobuf":
            self.violation(f"content-type {headers.get('content-type')}")
        if headers.get("content-encoding") == "gzip":
            raw = gzip.decompress(body)
        elif "content-encoding" in headers:
            self.violation(f"content-encoding {headers['content-encoding']}")
        fault = self.next_fault()
        accept = fault.status == 200 and not fault.drop
        reply = self.take(raw, fault, accept, Request(time.monotonic(), headers, len(body), len(raw), 0,
                                                      handler.client_address, fault.status))
        time.sleep(fault.delay)
        if fault.drop:
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        data = reply.SerializeToString() if fault.body is None else fault.body
        if fault.status != 200 and fault.body is None:
            data = status_pb2.Status(code=14, message=fault.message).SerializeToString() if grpc else b""
        try:
            handler.send_response(fault.status)
            handler.send_header("Content-Type", "application/x-protobuf")
            handler.send_header("Content-Length", str(len(data)))
            if fault.retry_after:
                handler.send_header("Retry-After", fault.retry_after)
            handler.end_headers()
            handler.wfile.write(data)
        except OSError:
            pass

    # gRPC

    def _grpc_server(self, port):
        if grpc is None:
            raise RuntimeError("grpcio is not installed")

        def export(raw, context):
            metadata = dict(context.invocation_metadata())
            fault = self.next_fault()
            accept = not fault.code and not fault.drop
            if len(raw) > MESSAGE_MAX:
                self.violation(f"message of {len(raw)} bytes")
            reply = self.take(raw, fault, accept, Request(time.monotonic(), metadata, len(raw), len(raw), 0,
                                                          context.peer(), fault.code or "OK"))
            time.sleep(fault.delay)
            if fault.code:
                self._grpc_fail(context, fault)
            return reply.SerializeToString() if fault.body is None else fault.body

        handler = grpc.method_handlers_generic_handler(
            GRPC_SERVICE, {"Export": grpc.unary_unary_rpc_method_handler(export)})
        server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[handler],
                             options=[("grpc.so_reuseport", 0)])
        if self.tls:
            with open(self.tls.server_key, "rb") as key, open(self.tls.server_cert, "rb") as cert, \
                    open(self.tls.ca, "rb") as ca:
                credentials = grpc.ssl_server_credentials(
                    [(key.read(), cert.read())], ca.read() if self.client_cert else None, self.client_cert)
            self.port = server.add_secure_port(f"127.0.0.1:{port}", credentials)
        else:
            self.port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        return server

    @staticmethod
    def _grpc_fail(context, fault):
        code = grpc.StatusCode[fault.code]
        if fault.retry_delay is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromNanoseconds(int(fault.retry_delay * 1e9))
            status = status_pb2.Status(code=code.value[0], message=fault.message)
            status.details.add().Pack(info)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, fault.message)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=4318)
    parser.add_argument("--grpc", action="store_true")
    parser.add_argument("--out", help="a file for the spans, one line of JSON each; default stdout")
    args = parser.parse_args()
    out = open(args.out, "w", encoding="utf-8") if args.out else sys.stdout
    with OtlpSink(args.port, "grpc" if args.grpc else "http", out=out) as sink:
        print(f"listening on {sink.endpoint}", file=sys.stderr, flush=True)
        shown = 0
        try:
            while True:
                time.sleep(0.5)
                for violation in sink.violations[shown:]:
                    print(f"violation: {violation}", file=sys.stderr, flush=True)
                shown = len(sink.violations)
        except KeyboardInterrupt:
            pass
    sys.exit(1 if sink.violations else 0)


if __name__ == "__main__":
    main()
