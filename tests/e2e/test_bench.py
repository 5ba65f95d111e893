# SPDX-License-Identifier: Apache-2.0
"""The bench does what it says: short rounds, whose figures mean nothing, but whose spans are counted."""
import json
import os
import subprocess
import sys

import pytest
from conftest import live_or_skip
from weftlib import hooksets, paths
from weftlib.clock import patience

BENCH = paths.ROOT / "tests/bench"
sys.path.insert(0, str(BENCH))

import table  # noqa: E402
import workloads  # noqa: E402

# Without a span a reply has no size, and a first one never comes.
OF_SPANS = {"span_bytes", "first_ms"}


@pytest.fixture(autouse=True)
def able():
    live_or_skip()
    if os.environ.get("WEFT_GUEST"):
        pytest.skip("tests the bench, which needs no second kernel")
    if missing := workloads.missing(workloads.WORKLOADS):
        pytest.skip(f"not installed: {', '.join(missing)}")


def bench(tmp, *args):
    """What it printed, and its lines by (workload, variant)."""
    out = tmp / "bench.json"
    argv = [sys.executable, BENCH / "bench.py", "--hooks", hooksets.DEFAULT[0], "--rounds", "1", "--seconds", "1",
            "--placement", "shared", "--json", out, *args]
    done = subprocess.run(list(map(str, argv)), cwd=paths.ROOT, env={**os.environ, "WEFT_BUILD": str(paths.BUILD)},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience(300))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, {(row["workload"], row["variant"]): row for row in json.loads(out.read_text())["table"]}


def test_every_workload(tmp_path):
    """Every request of HTTP is a span, no other is, nothing is lost, and a body's size is known."""
    printed, lines = bench(tmp_path, "--workload", "all", "--variants", "weft", "--no-programs")
    assert {name for name, _ in lines} == set(workloads.WORKLOADS)
    for (name, _), line in lines.items():
        spans = workloads.WORKLOADS[name].spans
        few = {"p99_ms", "p999_ms"} if name == "body" else set()
        known = {key for _, key, _ in table.COLUMNS if line.get(key) is not None}
        absent = {"ratio_a", "ratio_b", "hooks_ns"} | few | (set() if spans else OF_SPANS)
        assert known == {key for _, key, _ in table.COLUMNS} - absent, name
        assert line["missing"] == line["extra"] == line["lost"] == 0, line
        assert line["spans"] >= line["expected"] if spans else line["spans"] == line["expected"] == 0, line
        assert f"| {name} " in printed
    assert "http.response.body.size is right in every round" in printed


def test_beside_another_agent(tmp_path):
    """weft, told by nothing but the peer's environment what to trace and where to send it."""
    peer = (f"exec {paths.WEFT} run --hooks {hooksets.DEFAULT[0]} --include cgroup=$PEER_CGROUP --exporters otlp "
            "--listen off")
    printed, lines = bench(tmp_path, "--variants", "empty,peer", "--peer", peer, "--peer-quiet", "1.5")
    empty, line = lines["keepalive", "empty"], lines["keepalive", "peer"]
    assert line["missing"] == line["extra"] == 0 and line["spans"] >= line["expected"] > 0
    for key in ("agent_us", "hooks_ns", "peak_mb", "rss_mb", "maps_mb", "span_bytes", "first_ms"):
        assert line[key] > 0, key
    assert line["hooks_ns"] > empty["hooks_ns"] > 0
    assert line["ratio_b"] and "(d) peer" in printed
