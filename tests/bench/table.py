# SPDX-License-Identifier: Apache-2.0
"""What the rounds come to, and how it is printed."""
import statistics

from variants import VARIANTS
from workloads import WORKLOADS

# heading, key, format
COLUMNS = (
    ("requests/s", "rps", "{:.0f}"), ("/(a)", "ratio_a", "{:.3f}"), ("/(b)", "ratio_b", "{:.3f}"),
    ("p50 ms", "p50_ms", "{:.2f}"), ("p99 ms", "p99_ms", "{:.2f}"), ("p99.9 ms", "p999_ms", "{:.2f}"),
    ("server µs/req", "server_us", "{:.1f}"), ("agent µs/req", "agent_us", "{:.1f}"),
    ("hooks ns/req", "hooks_ns", "{:.0f}"), ("peak RSS MB", "peak_mb", "{:.1f}"), ("RSS MB", "rss_mb", "{:.1f}"),
    ("maps MB", "maps_mb", "{:.1f}"), ("bytes/span", "span_bytes", "{:.0f}"), ("records", "records", "{:.0f}"),
    ("expected", "expected", "{:.0f}"), ("spans", "spans", "{:.0f}"), ("missing", "missing", "{:.0f}"),
    ("extra", "extra", "{:.0f}"), ("lost", "lost", "{:.0f}"), ("first span ms", "first_ms", "{:.0f}"),
)
MEDIANS = ("rps", "p50_ms", "p99_ms", "p999_ms", "server_us", "agent_us", "peak_mb", "rss_mb", "maps_mb",
           "span_bytes", "records", "expected", "spans", "first_ms")
SUMS = ("missing", "extra")


def median(rows, key):
    values = [row[key] for row in rows if row.get(key) is not None]
    return statistics.median(values) if values else None


def ratio(rows, base):
    """Median over the rounds of this round's throughput against the same round's other one."""
    return statistics.median(r["rps"] / b["rps"] for r, b in zip(rows, base)) if rows and base else None


def losses(rows):
    """Every loss that the agent counted, added up over the rounds."""
    found = {}
    for row in rows:
        for name, value in row.get("losses", {}).items():
            found[name] = found.get(name, 0) + value
    return found


def summarise(series):
    """A line for each variant of each workload and placement. series: {workload, placement, rounds:
    {variant: [row]}, timed: {variant: row}} of what was measured; timed is the round with the kernel's
    statistics on, of which nothing else is used."""
    table = []
    for s in series:
        for variant, rows in s["rounds"].items():
            if not rows:
                continue
            line = {"workload": s["workload"], "placement": s["placement"], "variant": variant,
                    **{key: median(rows, key) for key in MEDIANS},
                    "ratio_a": ratio(rows, s["rounds"].get("none")), "ratio_b": None}
            if variant in ("weft", "peer"):
                line["ratio_b"] = ratio(rows, s["rounds"].get("empty"))
                for key in SUMS:
                    line[key] = sum(row[key] for row in rows)
            if variant == "weft":
                line["lost"] = sum(losses(rows).values())
            if variant in s["timed"]:
                timed = s["timed"][variant]
                line["hooks_ns"] = sum(ns for _, ns in timed["programs"].values()) / timed["requests"]
            table.append(line)
    return table


def cell(line, key, form):
    value = line.get(key)
    if value is None:
        return "–"
    # nothing is expected where the protocol is none of weft's
    if key in ("expected", "missing") and line["variant"] == "weft" and not WORKLOADS[line["workload"]].spans:
        return "–"
    if key == "rps" and "mb_s" in line:
        return f"{line['mb_s']:.0f} MB/s"
    return form.format(value)


def show(rows, left):
    """A table in Markdown; the first columns stand to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for n, row in enumerate(rows):
        print("| " + " | ".join(c.ljust(w) if i < left else c.rjust(w)
                                for i, (c, w) in enumerate(zip(row, widths))) + " |")
        if n == 0:
            print("|" + "|".join("-" * (w + 2) if i < left else "-" * (w + 1) + ":"
                                 for i, w in enumerate(widths)) + "|")


def show_results(table):
    show([["workload", "placement", "variant"] + [c[0] for c in COLUMNS]] +
         [[line["workload"], line["placement"], VARIANTS[line["variant"]].title] +
          [cell(line, c[1], c[2]) for c in COLUMNS] for line in table], 3)


def show_programs(series):
    """What each program in the kernel took, but for those that took next to nothing."""
    rows = []
    for s in series:
        for variant, timed in s["timed"].items():
            least = sum(ns for _, ns in timed["programs"].values()) / 100
            for name, (runs, ns) in sorted(timed["programs"].items(), key=lambda p: -p[1][1]):
                if ns < least:
                    continue
                rows.append([s["workload"], s["placement"], VARIANTS[variant].title, name,
                             f"{runs / timed['requests']:.3f}", f"{ns / runs:.0f}",
                             f"{ns / timed['requests']:.0f}"])
    if rows:
        show([["workload", "placement", "variant", "program", "runs/req", "ns/run", "ns/req"], *rows], 4)
