#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the share of right, missing and wrong parents, by kind of server, against ground truth.

    sudo tests/e2e/truth/run.py [--kinds a,b] [--requests N] [--concurrency 1,8,64] [--cpus 1,2]
                                [--hooks SET] [--transport ringbuf] [--json FILE]
"""
import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from truth import drive, judge, kinds  # noqa: E402
from weftlib import servers  # noqa: E402
from weftlib.clock import pause, until  # noqa: E402
from weftlib.lab import Lab  # noqa: E402

COLUMNS = ("requests", "calls", "right", "orphans", "wrong", "missing", "sockets", "socket_orphans",
           "socket_wrong", "outside")
# Servers by nginx's configuration, which answers the paths of the calls that the apps make.
LEAF = servers.LEAF + '\n    location / { return 200 "ok\\n"; }'


def measure(tmp, kind, cpus, concurrency, requests, hooks=None, transport=None):
    """One kind of server with so many CPUs for everything. The judge's table."""
    name, tls = kinds.server(kind), kinds.TLS in kind
    driven = drive.drive_h2 if kinds.H2 in kind else drive.drive
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:cpus]))
    lab = Lab(tmp, "truth")
    try:
        leaf = servers.nginx(lab, "leaf", LEAF, tls=tls)
        beats = name not in kinds.PROXIES
        done = {}
        agent = lab.weft(hooks=hooks, transport=transport)
        app = kinds.start(lab, kind, leaf.port)
        libraries = tls + (tls and name in ("node", "go", "dotnet"))  # those have their own
        until(lambda: agent.metrics()["weft_tls_libraries"] >= libraries, "not all TLS libraries are probed")
        for many in concurrency:
            for phase, ops in kinds.phases(kind):
                if name in kinds.LOOPS and many == 1:
                    # Only a request that found its process idle for a second can prove what its calls are for.
                    pause(1.2)
                done[phase, many] = driven(app.port, phase, many, requests, ops, tls)
        # As it comes out of a restart under load: the first requests already overlap.
        app.stop()
        app = kinds.start(lab, kind, leaf.port)
        many = max(concurrency)
        done["cold", many] = driven(app.port, "cold", many, requests, ["call" if beats else "pass"], tls)
        if beats:
            app.stop()
            app = kinds.start(lab, kind, leaf.port, beat=7)
            for many in concurrency:
                done["beside", many] = driven(app.port, "beside", many, requests, ["call"], tls)
            app.stop()
        spans = agent.stop()
        return judge.judge(spans, name, done)
    finally:
        lab.close()
        os.sched_setaffinity(0, before)


def rows(kind, cpus, table):
    for (phase, concurrency), row in table.rows.items():
        yield {"kind": kind, "cpus": cpus, "phase": phase, "concurrency": concurrency,
               **{c: row[c] for c in COLUMNS},
               "links": {k[3:]: v for k, v in row.items() if k.startswith("by_")}}


def show_head():
    print(f"{'server':16}{'cpus':>5}{'at once':>8}{'phase':>12}{'calls':>7}{'right':>8}{'orphan':>8}{'wrong':>7}"
          f"{'missing':>8}{'socket':>8}{'outside':>8}  evidence")


def show(some):
    """One line a cell."""
    for r in some:
        n = r["calls"] or 1
        sockets = r["sockets"] - r["socket_orphans"] - r["socket_wrong"]
        share = f"{100 * sockets / r['sockets']:7.1f}%" if r["sockets"] else "       -"
        links = " ".join(f"{k}:{v}" for k, v in sorted(r["links"].items()))
        print(f"{r['kind']:16}{r['cpus']:5}{r['concurrency'] or '-':>8}{r['phase']:>12}{r['calls']:7}"
              f"{100 * r['right'] / n:7.1f}%{100 * r['orphans'] / n:7.1f}%{r['wrong'] + r['socket_wrong']:7}"
              f"{r['missing']:8}{share}{r['outside']:8}  {links}", flush=True)


def numbers(text):
    return [int(n) for n in text.split(",")]


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--kinds", default=",".join(kinds.KINDS), help="default: %(default)s")
    args.add_argument("--requests", type=int, default=300, help="in each cell, default %(default)s")
    args.add_argument("--concurrency", type=numbers, default=[1, 8, 64])
    args.add_argument("--cpus", type=numbers, default=[1, 2])
    args.add_argument("--hooks")
    args.add_argument("--transport")
    args.add_argument("--json", help="write every cell here")
    args = args.parse_args()
    if os.geteuid() != 0:
        sys.exit("run.py: needs root")
    base = Path(tempfile.mkdtemp(prefix="weft-truth-"))
    base.chmod(0o755)
    result, notes = [], []
    show_head()
    for kind in args.kinds.split(","):
        if why := servers.missing(*servers.NEEDS[kinds.server(kind).partition("-")[0]]):
            print(f"{kind}: skipped, {why}", file=sys.stderr)
            continue
        for cpus in args.cpus:
            tmp = base / f"{kind}-{cpus}"
            tmp.mkdir()
            tmp.chmod(0o755)
            table = measure(tmp, kind, cpus, args.concurrency, args.requests, args.hooks, args.transport)
            mine = list(rows(kind, cpus, table))
            show(mine)
            result += mine
            notes += table.notes
    for note in notes[:40]:
        print("note:", note)
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1))
    sys.exit(any(r["wrong"] or r["socket_wrong"] or r["outside"] for r in result))


if __name__ == "__main__":
    main()
