# SPDX-License-Identifier: Apache-2.0
"""Real traffic, exported to a strict OTLP receiver: what it takes apart was not packed by its own code."""
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.proto.trace.v1.trace_pb2", reason="opentelemetry-proto is not installed")
from otlp_sink import OtlpSink  # noqa: E402
from weftlib import servers  # noqa: E402
from weftlib.clock import patience, pause  # noqa: E402
from weftlib.http import get  # noqa: E402

pytestmark = pytest.mark.live


def wait(condition, timeout=10):
    end = time.monotonic() + patience(timeout)
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("protocol,compression", [("http", "none"), ("http", "gzip"), ("grpc", "none")])
def test_every_span_is_valid(lab, protocol, compression):
    leaf = servers.nginx(lab, "leaf")
    front = servers.nginx_proxy(lab, "front", leaf.port)
    with OtlpSink(protocol=protocol) as sink:
        otlp = "http/protobuf" if protocol == "http" else "grpc"
        endpoint = sink.endpoint.removesuffix("/v1/traces")
        weft = lab.weft(exporters="otlp", args=["--otlp-endpoint", endpoint, "--otlp-protocol", otlp],
                        env={"OTEL_EXPORTER_OTLP_COMPRESSION": compression, "OTEL_RESOURCE_ATTRIBUTES":
                             "deployment.environment.name=test"})
        assert get(front.port, "/leaf/a?sig=secret&x=1")[0] == 200
        assert get(front.port, "/none")[0] == 404
        assert get(front.port, "/fail/x")[0] == 503
        assert get(leaf.port, "/leaf/b")[0] == 200
        spans = sink.wait(10)
        weft.stop()
    assert sink.violations == []
    assert len(sink.spans()) == len(spans) == 10
    assert "secret" not in repr(spans)
    kinds = sorted(s["kind"] for s in spans)
    assert len([k for k in kinds if "SERVER" in str(k).upper() or k == 2]) == 7


def test_a_traced_receiver_is_no_loop(lab):
    """The receiver is in the selected cgroup; weft's own exports to it must not become spans."""
    leaf = servers.nginx(lab, "leaf")
    port = servers.free_port()
    out = lab.tmp / "spans.jsonl"
    sink = lab.process([sys.executable, Path(__file__).parent / "otlp_sink.py", "--port", str(port), "--out", out],
                       name="receiver")
    assert wait(lambda: subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True,
                                       check=True).stdout)
    weft = lab.weft(exporters="otlp", args=["--otlp-endpoint", f"http://127.0.0.1:{port}"])
    assert get(leaf.port, "/leaf/a")[0] == 200
    assert wait(lambda: out.exists() and out.read_text().count("\n"))
    pause(1.5)
    assert out.read_text().count("\n") == 1
    weft.stop()
    sink.stop()
