# SPDX-License-Identifier: Apache-2.0
"""The agent's counters and the invariants between them (agent/core/counters.h, weft/counters.h)."""
import os
import re

from .clock import SCALE

# Linux 7 lets threads preempt programs. Emulated, where they take a greater part of the time, that happens now and then
# in a program and in its twin at once: it is counted, and what of it matters shows in the spans.
MISSES = SCALE > 1 and int(os.uname().release.partition(".")[0]) >= 7
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
        found = (re.search(r'exporter="([\w-]+)"', labels) for name, labels, _ in self.rows
                 if name == "weft_exporter_spans_offered_total")
        return sorted({m[1] for m in found if m})

    def exporter(self, which, counter):
        return self[f"weft_exporter_spans_{counter}", f'exporter="{which}"']


def equal(what, left, right, m):
    assert left == right, f"{what}: {left:g} is not {right:g}\n{m.text}"


def balanced(m):
    """What was read while something went on need not: a call is counted as seen before it is counted as what became
    of it, and who asks makes such a call."""
    try:
        check(m, lossless=False)
    except AssertionError:
        return False
    return True


def check(m, lossless=True):
    """Asserts every book. lossless: nothing may have been lost either."""
    k = m.kernel
    equal("kernel calls", k("seen"),
          sum(map(k, ("filtered", "unwanted", "coalesced", "shed", "emitted", "lost_full", "lost_map", "lost_cpu", "encrypted"))),
          m)
    equal("records", m["weft_records_read_total"], k("emitted") + k("life_emitted"), m)
    equal("bad records", m["weft_records_bad_total"], 0, m)
    equal("requests", m["weft_requests_total"], m["weft_requests_done_total"] + m["weft_requests_open"], m)
    equal("spans", m["weft_spans_made_total"],
          m["weft_spans_released_total"] + m["weft_spans_held"] + m["weft_spans_dropped_total"], m)
    for name in m.exporters():
        equal(f"spans offered to {name}", m.exporter(name, "offered_total"),
              m["weft_spans_released_total"] - m["weft_spans_sampled_out_total"]
              - m["weft_spans_left_out_total"] - m["weft_spans_waiting"], m)
        equal(f"spans of {name}", m.exporter(name, "offered_total"),
              sum(m.exporter(name, c) for c in ("dropped_total", "sent_total", "rejected_total",
                                                "failed_total", "queued")), m)
    if lossless:
        for name in ("lost_full", "lost_map", "lost_cpu", "life_lost"):
            equal(name, k(name), 0, m)
        if not MISSES:
            equal("kernel_missed", m["weft_kernel_missed_total"], 0, m)
        equal("spans dropped", m["weft_spans_dropped_total"] - m["weft_spans_dropped_total", 'reason="unselected"'],
              0, m)
