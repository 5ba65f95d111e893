# SPDX-License-Identifier: Apache-2.0
"""Parents against ground truth (truth/): never a wrong one, and every one where there is evidence."""
import os

import pytest
from conftest import live_or_skip
from truth import kinds, run
from weftlib.clock import SCALE

REQUESTS = int(os.environ.get("WEFT_TRUTH_REQUESTS", "60" if SCALE == 1 else "10"))  # emulated, 60 take minutes
CONCURRENT = [1, 8, 64] if SCALE == 1 else [1, 64]


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_parents(tmp_path, need, kind, cpus, capsys):
    judge(tmp_path, need, kind, cpus, capsys)


@pytest.mark.parametrize("kind", kinds.SECURE)
def test_parents_over_tls(tmp_path, need, kind, capsys):
    # emulated, 64 clients' handshakes take minutes
    judge(tmp_path, need, kind, 2, capsys, [1, 8, 64] if SCALE == 1 else [1, 8])


@pytest.mark.parametrize("kind", kinds.SHARED)
def test_parents_over_http2(tmp_path, need, kind, capsys):
    need("h2load")
    judge(tmp_path, need, kind, 2, capsys)


def judge(tmp_path, need, kind, cpus, capsys, concurrent=CONCURRENT):
    live_or_skip()
    need(kinds.server(kind).partition("-")[0], "nginx")
    table = run.measure(tmp_path, kind, cpus, concurrent, REQUESTS)
    rows = list(run.rows(kind, cpus, table))
    with capsys.disabled():
        print()
        run.show(rows)
    notes = "\n".join(table.notes)
    for r in rows:
        assert r["wrong"] == r["socket_wrong"] == 0, f"{r}\n{notes}"
        assert r["outside"] == 0, f"{r}\n{notes}"
        assert r["missing"] == 0, f"{r}\n{notes}"
        assert r["socket_orphans"] == 0, f"{r}\n{notes}"
        if kinds.server(kind) in kinds.COMPLETE:
            assert r["orphans"] == 0, f"{r}\n{notes}"
        elif r["concurrency"] == 1 and r["phase"] == "call":
            assert r["right"] > 0, f"{r}\n{notes}"
