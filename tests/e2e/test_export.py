# SPDX-License-Identifier: Apache-2.0
"""The exporters against a strict OTLP receiver, with made-up spans: no eBPF, no root."""
import json
import os
import socket
import subprocess
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2",
                    reason="opentelemetry-proto is not installed (tests/requirements.txt)")
import otlp_sink
from otlp_sink import Fault, OtlpSink, TlsFiles
from weftlib.clock import patience

BUILD = Path(os.environ.get("WEFT_BUILD", Path(__file__).resolve().parents[2] / "build"))
OFFER = BUILD / "tests" / "e2e" / "offer_spans"
# The proxies of the machine are not for loopback.
ENV = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")} | {"TZ": "UTC"}

pytestmark = pytest.mark.skipif(not OFFER.exists(), reason=f"{OFFER} is not built")


class Offer:
    """A run of offer_spans."""

    def __init__(self, stdout=subprocess.PIPE, **options):
        args = [str(OFFER)] + [f"{k}={v}" for k, v in options.items()]
        self.process = subprocess.Popen(args, stdout=stdout, stderr=subprocess.PIPE, env=ENV)

    def end(self, timeout=60):
        out, err = self.process.communicate(timeout=timeout)
        self.out, self.log = (out or b"").decode(), err.decode()
        self.code = self.process.returncode
        books = [json.loads(line[6:]) for line in self.log.splitlines() if line.startswith("BOOKS ")]
        for b in books:
            assert b["offered"] == b["dropped"] + b["sent"] + b["rejected"] + b["failed"] + b["queued"], b
            assert b["queued"] == b["queued_bytes"] == 0
        self.books = books[0] if books else None
        return self


def offer(sink, **options):
    defaults = {"otlp": 1, "endpoint": sink.endpoint, "protocol": sink.protocol, "drain_ms": int(1000 * patience(5)),
                "timeout_ms": int(1000 * patience(5))}
    run = Offer(**(defaults | options)).end()
    assert run.code == 0, run.log
    return run


@pytest.fixture(params=["http", "grpc"])
def sink(request):
    if request.param == "grpc" and otlp_sink.grpc is None:
        pytest.skip("grpcio is not installed (tests/requirements.txt)")
    with OtlpSink(protocol=request.param) as sink:
        yield sink
        assert sink.violations == []


@pytest.fixture
def http():
    with OtlpSink() as sink:
        yield sink
        assert sink.violations == []


@pytest.fixture
def grpc():
    if otlp_sink.grpc is None:
        pytest.skip("grpcio is not installed (tests/requirements.txt)")
    with OtlpSink(protocol="grpc") as sink:
        yield sink
        assert sink.violations == []


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return TlsFiles.make(tmp_path_factory.mktemp("tls"))


def span_numbers(sink):
    return sorted(int.from_bytes(bytes.fromhex(s["span_id"]), "little") for s in sink.spans())


def gaps(sink):
    times = [r.time for r in sink.requests]
    return [b - a for a, b in zip(times, times[1:])]


@pytest.mark.parametrize("gzip", [0, 1])
def test_every_span_arrives_once(sink, gzip):
    run = offer(sink, spans=3000, services=3, gzip=gzip, headers="x-key=s3cret,x-b=2=3")
    assert span_numbers(sink) == list(range(1, 3001))
    assert run.books["sent"] == 3000 and run.books["able"]
    assert {s["resource"]["service.name"] for s in sink.spans()} == {f"service-{i}" for i in range(3)}
    request = sink.requests[0]
    assert request.headers["x-key"] == "s3cret" and request.headers["x-b"] == "2=3"
    assert request.headers["user-agent"].startswith("weft/")
    if sink.protocol == "http":
        assert (request.headers.get("content-encoding") == "gzip") == bool(gzip)
        assert request.size < request.plain_size / 4 if gzip else request.size == request.plain_size
        assert len({r.peer for r in sink.requests}) == 1, "the connection is kept"
    assert "s3cret" not in run.log


def test_span_as_offered(sink):
    offer(sink, spans=2)
    server, client = sorted(sink.spans(), key=lambda s: s["span_id"])
    assert server["kind"] == "server" and server["parent_id"] is None and server["flags"] == 1
    assert server["attributes"]["http.route"] == "/orders/{id}"
    assert "weft.link" not in server["attributes"]
    assert client["kind"] == "client" and client["parent_id"] == server["span_id"]
    assert client["trace_id"] == server["trace_id"] and client["flags"] == 0x101
    assert client["attributes"]["weft.link"] == "thread"


def test_batches_are_bounded(sink):
    offer(sink, spans=4000, batch_spans=1000, batch_bytes=65536)
    assert span_numbers(sink) == list(range(1, 4001))
    assert all(0 < r.plain_size <= 65536 for r in sink.requests)
    assert max(r.spans for r in sink.requests) <= 1000


def test_grpc_stays_below_four_mebibytes(grpc):
    offer(grpc, spans=12000, batch_spans=12000, batch_bytes=16 << 20, queue_bytes=16 << 20,
          drain_ms=int(1000 * patience(20)), timeout_ms=int(1000 * patience(20)))
    assert span_numbers(grpc) == list(range(1, 12001))
    assert len(grpc.requests) > 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_temporary_failures_are_retried(http, status):
    http.faults += [Fault(status=status, message="not now"), Fault(status=status)]
    run = offer(http, spans=100)
    assert span_numbers(http) == list(range(1, 101))
    assert run.books["retries"] == 2 and run.books["requests"] == 3 and run.books["able"]
    assert f'HTTP {status}: not now' in run.log


@pytest.mark.parametrize("status", [301, 400, 401, 404, 413, 500])
def test_other_failures_are_not(http, status):
    http.faults.append(Fault(status=status, message="never"))
    run = offer(http, spans=100)
    assert len(http.requests) == 1 and run.books["failed"] == 100 and run.books["retries"] == 0
    assert not run.books["able"] and f"HTTP {status}" in run.books["last_error"]


def test_retry_after_seconds(http):
    http.faults.append(Fault(status=503, retry_after="2"))
    run = offer(http, spans=10, drain_ms=8000)
    assert run.books["sent"] == 10 and 2 <= gaps(http)[0] < 4


def test_retry_after_date(http):
    http.faults.append(Fault(status=429, retry_after=formatdate(time.time() + 3, usegmt=True)))
    run = offer(http, spans=10, drain_ms=8000)
    assert run.books["sent"] == 10 and 1.5 <= gaps(http)[0] < 5


@pytest.mark.parametrize("code", ["CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE",
                                  "DATA_LOSS"])
def test_grpc_temporary_failures_are_retried(grpc, code):
    grpc.faults.append(Fault(code=code, message="not now"))
    run = offer(grpc, spans=100)
    assert span_numbers(grpc) == list(range(1, 101))
    assert run.books["retries"] == 1


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED",
                                  "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED"])
def test_grpc_other_failures_are_not(grpc, code):
    grpc.faults.append(Fault(code=code, message="never"))
    run = offer(grpc, spans=100)
    assert len(grpc.requests) == 1 and run.books["failed"] == 100
    assert "never" in run.books["last_error"]


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
def test_grpc_retry_info(grpc, code):
    grpc.faults.append(Fault(code=code, message="slow down", retry_delay=1.5))
    run = offer(grpc, spans=10, drain_ms=8000)
    assert run.books["sent"] == 10 and 1.5 <= gaps(grpc)[0] < 3.5
    assert "slow down" in run.log


def test_partial_success(sink):
    sink.faults.append(Fault(rejected=7, message="seven are bad\x1b[2J"))
    run = offer(sink, spans=100)
    assert len(sink.requests) == 1, "not retried"
    assert run.books["sent"] == 93 and run.books["rejected"] == 7 and run.books["able"]
    assert "seven are bad" in run.log and "\x1b" not in run.log


@pytest.mark.parametrize("rejected", [-5, 1 << 40])
def test_partial_success_that_makes_no_sense(sink, rejected):
    sink.faults.append(Fault(rejected=rejected))
    run = offer(sink, spans=10)
    assert run.books["sent"] + run.books["rejected"] == 10


@pytest.mark.parametrize("body", [b"\xff" * 100, b"x" * 3_000_000], ids=["garbage", "huge"])
def test_replies_that_make_no_sense(sink, body):
    sink.faults.append(Fault(body=body))
    assert offer(sink, spans=10).books["sent"] == 10


def test_dropped_connection_is_retried(http):
    http.faults.append(Fault(drop=True))
    run = offer(http, spans=10)
    assert run.books["sent"] == 10 and run.books["retries"] >= 1


def test_slow_backend_times_out(sink):
    sink.faults.append(Fault(delay=1.5, **({"code": "UNAVAILABLE"} if sink.protocol == "grpc" else {"status": 503})))
    run = offer(sink, spans=10, timeout_ms=400, drain_ms=8000)
    assert run.books["retries"] >= 1 and run.books["sent"] == 10


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_backend_down_then_up(protocol):
    """Memory is bounded, the overflow counted, and what was kept arrives."""
    if protocol == "grpc" and otlp_sink.grpc is None:
        pytest.skip("grpcio is not installed (tests/requirements.txt)")
    port = free_port()
    path = otlp_sink.TRACES_PATH if protocol == "http" else ""
    run = Offer(otlp=1, protocol=protocol, endpoint=f"http://localhost:{port}{path}", spans=100000,
                queue_bytes=1 << 20, settle_ms=1500, drain_ms=10000)
    time.sleep(1)
    with OtlpSink(port, protocol) as sink:
        run.end()
        assert sink.violations == []
        books = run.books
        assert books["dropped"] > 90000 and books["failed"] == 0
        assert books["sent"] == len(sink.spans()) == 100000 - books["dropped"]
        numbers = span_numbers(sink)
        assert len(set(numbers)) == len(numbers)
        assert numbers[:1000] == list(range(1, 1001)), "the oldest are kept"
    # what was offered would take 60 MiB; the rest of this is libraries, and sanitizers where they run
    assert books["rss_kb"] < 16384
    assert run.log.count("export is retried") == 1, "one line a minute"
    assert "works again" in run.log


def test_retries_end(http):
    http.faults += [Fault(status=503)] * 50
    run = offer(http, spans=10, retry_max_ms=1500, settle_ms=3000, drain_ms=100)
    assert run.books["failed"] == 10 and 1 < len(http.requests) < 50
    assert "spans given up" in run.log


@pytest.mark.parametrize("drain_ms", [0, 300])
def test_drain_ends_in_time(sink, drain_ms):
    sink.faults += [Fault(delay=3)] * 5
    run = offer(sink, spans=1000, batch_spans=100, drain_ms=drain_ms, settle_ms=300)
    assert run.books["drain_ms"] < drain_ms + 500
    assert run.books["given_up"] == run.books["failed"] == 1000
    sink.violations.clear()


def test_drain_without_a_backend():
    run = Offer(otlp=1, endpoint=f"http://localhost:{free_port()}/v1/traces", spans=100, drain_ms=500).end()
    assert run.books["failed"] == 100 and run.books["drain_ms"] < 1000


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("client_cert", [False, True])
def test_tls(tls, protocol, client_cert):
    if protocol == "grpc" and otlp_sink.grpc is None:
        pytest.skip("grpcio is not installed (tests/requirements.txt)")
    with OtlpSink(protocol=protocol, tls=tls, client_cert=client_cert) as sink:
        mine = {"client_certificate": tls.client_cert, "client_key": tls.client_key} if client_cert else {}
        run = offer(sink, spans=100, certificate=tls.ca, **mine)
        assert run.books["sent"] == 100 and sink.violations == []


@pytest.mark.parametrize("trust", ["no CA", "no client certificate"])
def test_tls_that_does_not_hold(tls, trust):
    with OtlpSink(tls=tls, client_cert=trust != "no CA") as sink:
        given = {} if trust == "no CA" else {"certificate": tls.ca}
        run = offer(sink, spans=10, drain_ms=700, **given)
        assert run.books["failed"] == 10 and not sink.spans()
        assert run.books["last_error"]


def test_userinfo_stays_out_of_the_log(http):
    http.faults += [Fault(status=503), Fault(status=400)]
    endpoint = http.endpoint.replace("http://", "http://user:hunter2@")
    run = offer(http, spans=10, endpoint=endpoint)
    assert http.requests[0].headers["authorization"].startswith("Basic ")
    assert "hunter2" not in run.log and "dXNlcjpodW50ZXIy" not in run.log and "localhost:" in run.log


@pytest.mark.parametrize("options, why", [
    ({"endpoint": "ftp://x/"}, "neither http nor https"),
    ({"endpoint": "http://"}, "not a URL"),
    ({"headers": "no value"}, "name=value"),
    ({"headers": "a b=c"}, "name=value"),
    ({"headers": "a=c\r\nEvil: 1"}, "name=value"),
    ({"certificate": "/nowhere.pem"}, "cannot be read"),
    ({"client_key": "/etc/passwd"}, "need each other"),
    ({"batch_spans": 0}, "at least one span"),
    ({"batch_bytes": 100}, "at least one span"),
])
def test_options_that_make_no_sense(options, why):
    run = Offer(**({"otlp": 1, "endpoint": "http://localhost:1/v1/traces"} | options)).end()
    assert run.code == 3 and "REFUSED" in run.log and why in run.log


def test_json_lines():
    run = Offer(json=1, spans=500, services=2).end()
    spans = [json.loads(line) for line in run.out.splitlines()]
    assert len(spans) == 500 == run.books["sent"]
    assert {s["span_id"] for s in spans} == {(n + 1).to_bytes(8, "little").hex() for n in range(500)}
    assert spans[1]["parent_id"] == spans[0]["span_id"] and spans[1]["link"] == "thread"
    assert spans[0]["parent_id"] is None and spans[0]["resource"] == {"service.name": "service-0"}


def test_json_comes_soon():
    run = Offer(json=1, spans=1, settle_ms=3000, batch_delay_ms=5000)
    start = time.monotonic()
    assert run.process.stdout.readline()
    assert time.monotonic() - start < 1
    run.end()


@pytest.mark.parametrize("exporter", ["json", "terminal"])
def test_reader_that_went_away(exporter):
    read, write = os.pipe()
    os.close(read)
    run = Offer(stdout=write, spans=1000, settle_ms=600, pause_us=100, **{exporter: 1})
    os.close(write)
    run.end()
    assert run.code == 0 and run.books["offered"] == 1000
    if exporter == "json":
        assert run.books["failed"] == 1000 and "Broken pipe" in run.log


def test_reader_that_never_reads():
    """A full pipe costs spans, not the end of the process."""
    read, write = os.pipe()
    run = Offer(stdout=write, json=1, spans=5000, drain_ms=500)
    os.close(write)
    run.end()
    os.close(read)
    assert run.books["failed"] > 0 and run.books["drain_ms"] < 1500


def test_slow_reader_gets_whole_lines():
    read, write = os.pipe()
    run = Offer(stdout=write, json=1, spans=2000, drain_ms=20000)
    os.close(write)
    got = bytearray()

    def drink():
        while piece := os.read(read, 3000):
            got.extend(piece)
            time.sleep(0.0005)

    thread = threading.Thread(target=drink)
    thread.start()
    run.end()
    thread.join()
    os.close(read)
    assert len([json.loads(line) for line in got.splitlines()]) == 2000 == run.books["sent"]


def test_terminal_shows_trees():
    run = Offer(terminal=1, spans=16, services=2).end()
    assert run.out.count("8 spans") == 2 and "\x1b" not in run.out
    first = run.out.splitlines()[1]
    assert first.startswith("▸ service-0 GET /orders/{id}") and "200" in first
    assert "└─⇢▸" in run.out and "thread+socket" in run.out


def test_several_at_once(http):
    run = Offer(otlp=1, endpoint=http.endpoint, json=1, spans=300).end()
    assert len(http.spans()) == 300 and len(run.out.splitlines()) == 300


def good_request():
    """What the sink finds nothing wrong with."""
    request = otlp_sink.service_pb.ExportTraceServiceRequest()
    group = request.resource_spans.add(schema_url=otlp_sink.SCHEMA_PREFIX + "1.44.0")
    group.resource.attributes.add(key="service.name").value.string_value = "bank"
    scope = group.scope_spans.add(schema_url=otlp_sink.SCHEMA_PREFIX + "1.44.0")
    scope.scope.name, scope.scope.version = "weft", "0.1.0"
    span = scope.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET /x", kind=2, flags=1)
    span.end_time_unix_nano = time.time_ns()
    span.start_time_unix_nano = span.end_time_unix_nano - 1000
    for key, value in (("http.request.method", "GET"), ("url.path", "/x"), ("url.scheme", "http"),
                       ("http.route", "/x")):
        span.attributes.add(key=key).value.string_value = value
    span.attributes.add(key="http.response.status_code").value.int_value = 200
    return request


def spoil(span, **fields):
    for name, value in fields.items():
        setattr(span, name, value)


@pytest.mark.parametrize("what, change", [
    ("trace_id", lambda g, s: spoil(s, trace_id=b"t" * 15)),
    ("trace_id", lambda g, s: spoil(s, trace_id=bytes(16))),
    ("span_id", lambda g, s: spoil(s, span_id=bytes(8))),
    ("parent_span_id", lambda g, s: spoil(s, parent_span_id=b"p")),
    ("its own parent", lambda g, s: spoil(s, parent_span_id=s.span_id)),
    ("HAS_IS_REMOTE", lambda g, s: spoil(s, parent_span_id=b"p" * 8)),
    ("weft.link", lambda g, s: spoil(s, parent_span_id=b"p" * 8, flags=0x101)),
    ("kind", lambda g, s: spoil(s, kind=0)),
    ("ends before", lambda g, s: spoil(s, end_time_unix_nano=s.start_time_unix_nano - 1)),
    ("future", lambda g, s: spoil(s, end_time_unix_nano=time.time_ns() + 10**11)),
    ("a day ago", lambda g, s: spoil(s, start_time_unix_nano=1)),
    ("route", lambda g, s: spoil(s, name="GET /x/17")),
    ("no url.path", lambda g, s: s.attributes.pop(1)),
    ("no url.full", lambda g, s: spoil(s, kind=3)),
    ("error.type", lambda g, s: spoil(s.attributes[4].value, int_value=500)),
    ("type of http.response", lambda g, s: spoil(s.attributes[4].value, string_value="200")),
    ("twice", lambda g, s: s.attributes.append(s.attributes[0])),
    ("service.name", lambda g, s: g.resource.attributes.pop()),
    ("schema_url", lambda g, s: g.ClearField("schema_url")),
    ("scope", lambda g, s: g.scope_spans[0].ClearField("scope")),
    ("no spans", lambda g, s: g.scope_spans[0].ClearField("spans")),
])
def test_sink_is_strict(what, change):
    checker = otlp_sink.Checker()
    request = good_request()
    checker.request(request, request.SerializeToString())
    assert checker.found == []
    group = request.resource_spans[0]
    change(group, group.scope_spans[0].spans[0])
    checker.request(request, request.SerializeToString())
    assert any(what in found for found in checker.found), checker.found


@pytest.mark.parametrize("raw", [b"", b"\x0a\xff", b"\x98\x06\x01"], ids=["empty", "cut", "unknown field"])
def test_sink_is_strict_about_bytes(raw):
    with OtlpSink() as sink:
        sink.take(raw, Fault(), True, otlp_sink.Request(0, {}, 0, 0, 0, (), 200))
        assert sink.violations
