# SPDX-License-Identifier: Apache-2.0
"""The agent's counters and the invariants between them (agent/core/counters.h, weft/counters.h)."""
import re

LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")


class Metrics:
    """Prometheus text. m["name"] sums over labels; m["name", 'result="paired"'] picks."""

    def __init__(self, text):
        self.text = text
        self.rows = [(m[1], m[2] or "", float(m[3])) for m in map(LINE.match, text.splitlines()) if m]

    def __getitem__(self, key):
        name, label = key if isinstance(key, tuple) else (key, "")
        return sum(value for n, labels, value in self.rows if n == name and label in labels)

    def kernel(self, name):
        return self[f"weft_kernel_{name}_total"]

    def exporters(self):
        found = (re.search(r'exporter="(\w+)"', labels) for name, labels, _ in self.rows
                 if name == "weft_exporter_offered_total")
        return sorted({m[1] for m in found if m})


def check(m, lossless=True):
    """Asserts every book. lossless: nothing may have been lost either."""
    k = m.kernel
    parts = ("filtered", "unwanted", "emitted", "lost_full", "lost_map")
    assert k("seen") == sum(map(k, parts)), "\n".join(kernel_lines(m))
    assert m["weft_records_read_total"] >= m["weft_records_bad_total"]
    assert m["weft_records_bad_total"] == 0
    # The exchanges that are still open are a gauge.
    assert m["weft_requests_total"] == m["weft_requests_done_total"] + m["weft_exchanges_open"]
    made, held = m["weft_spans_made_total"], m["weft_spans_held"]
    assert made == m["weft_spans_released_total"] + held + m["weft_spans_dropped_total"]
    for name in m.exporters():
        def e(counter, name=name):
            return m[f"weft_exporter_{counter}", f'exporter="{name}"']
        assert e("offered_total") == e("queued_total") + e("dropped_queue_total")
    if lossless:
        for name in ("lost_full", "lost_map", "life_lost"):
            assert k(name) == 0, f"{name}: {k(name)}"
        assert m["weft_spans_dropped_total", 'reason="hold_full"'] == 0


def kernel_lines(m):
    return [f"{name}{{{labels}}} {value:g}" for name, labels, value in m.rows
            if name.startswith("weft_kernel_")]
