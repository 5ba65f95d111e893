# SPDX-License-Identifier: Apache-2.0
"""What weft costs, in one run: (a) no agent, (b) the hooks with empty programs, (c) weft, and, with
--peer, (d) another agent.

The variants take turns, round by round, so that a machine that slows down or speeds up does so for all
of them. A last round of each that has programs in the kernel runs with the kernel's own statistics on:
their times come from it, and nothing else. "server" and "agent" are the CPU time of all processes of
either; weft's does not hold the hooks', which the server's and the client's do. records, expected, spans
and bytes are of one round.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import bpfstats
import table
import workloads
from host import GUEST, Cgroup, Failure, machine
from variants import VARIANTS
from workload import Placement
from workloads import WORKLOADS

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", ROOT / "build-bench"))
GUEST_SECONDS = 6 * 3600

PEER = """
another agent:
  --peer COMMAND is run by a shell, as root, for each round of variant (d), with
    OTEL_EXPORTER_OTLP_ENDPOINT  where the spans are counted: OTLP over HTTP, protobuf, gzip or not.
                                 gRPC and JSON are not taken: OTEL_EXPORTER_OTLP_PROTOCOL says so
    PEER_CGROUP                  the group of the traced processes, from the hierarchy's mount point
    PEER_PORT                    where the traced server listens
  and ended by SIGTERM to its process group. It is ready when its first span has come, or after
  --peer-wait. Its spans of kind SERVER are compared with the requests of every workload, whether it
  understands the protocol or not. weft as its own peer:
    tests/bench/run.sh --peer 'exec build-bench/agent/weft run --include "cgroup=$PEER_CGROUP" --exporters otlp'
"""


def some_of(known):
    def parse(text):
        names = list(known) if text == "all" else text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return [name for name in known if name in names]
    return parse


def positive(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def parse_args():
    what = "".join(f"\n  {name:<18} {w.__doc__}" for name, w in WORKLOADS.items())
    p = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__,
                                epilog=f"workloads:{what}\n{PEER}",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--workload", type=some_of(WORKLOADS), default=["keepalive"], metavar="LIST",
                   help="by comma, or all; default keepalive")
    p.add_argument("--guest", metavar="KERNEL", help="in a guest with this kernel, as tests/vm/guest.sh knows them; "
                   "everything is emulated there, and the defaults are shorter")
    p.add_argument("--hooks", choices=("fentry", "sock", "syscalls"), help="default: what weft takes here")
    p.add_argument("--rounds", type=positive, default=3 if GUEST else 7)
    p.add_argument("--seconds", type=positive, default=4 if GUEST else 6, help="of load, a round and variant")
    p.add_argument("--connections", type=positive, default=32)
    p.add_argument("--body-mib", type=positive, default=1024, metavar="N", help="of the workload body")
    p.add_argument("--placement", choices=("shared", "pinned", "both"), default="shared" if GUEST else "both",
                   help="shared: all on every CPU; pinned: the server alone on CPU 0, the rest on CPU 1")
    p.add_argument("--variants", type=some_of(VARIANTS), metavar="LIST",
                   help="of none,empty,weft,peer; default all, but for peer without --peer")
    p.add_argument("--peer", metavar="COMMAND", help="starts another agent: see below")
    p.add_argument("--peer-wait", type=positive, default=60, metavar="S", help="until its first span, at most")
    p.add_argument("--peer-quiet", type=float, default=6, metavar="S",
                   help="without a span, after which none is on its way: OpenTelemetry's own batches wait for 5")
    p.add_argument("--no-programs", dest="programs", action="store_false",
                   help="without the round that tells what the programs in the kernel take")
    p.add_argument("--build", type=pathlib.Path, default=BUILD, help="default build-bench, made as needed")
    p.add_argument("--json", type=pathlib.Path, help="write every round's figures to this file")
    p.add_argument("--keep", action="store_true", help="keep the directory with the logs and figures")
    p.add_argument("weft_args", nargs="*", help="after --: further arguments for weft run")
    args = p.parse_args()
    args.variants = args.variants or [v for v in VARIANTS if v != "peer" or args.peer]
    if "peer" in args.variants and not args.peer:
        p.error("the variant peer needs --peer")
    return args


def enter_guest(args):
    """Replaces this process by the same command in a guest. Of the files it writes only --json remains."""
    remains = ["--writable", args.json.resolve().parent] if args.json else []
    argv = [ROOT / "tests/vm/guest.sh", "--kernel", args.guest, "--clock", "host", "--timeout", GUEST_SECONDS,
            *remains, "--", sys.executable, *sys.argv]
    os.execv(argv[0], list(map(str, argv)))


def hooks_here(args):
    """What weft itself would take."""
    done = subprocess.run([args.build / "agent/weft", "doctor", "--json"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    try:
        hooks = json.loads(done.stdout)["hooks"]
    except (ValueError, KeyError):
        hooks = None
    if not hooks:
        raise Failure(f"weft doctor names no hooks: {done.stdout}{done.stderr}")
    return hooks


def measure(args, variant, workload, directory, group, timed=False):
    """One round of one variant: a dict of figures."""
    beside = VARIANTS[variant](args, workload, directory, group)
    try:
        beside.start()
        time.sleep(0.3)
        beside.begin()
        served, cpu = workload.served(), workload.cgroup.cpu_seconds()
        programs = bpfstats.programs(beside.pids()) if timed else None
        row = workload.load(args.seconds)
        if timed:
            row["programs"] = bpfstats.difference(programs, bpfstats.programs(beside.pids()))
        row["server_us"] = (workload.cgroup.cpu_seconds() - cpu) / row["requests"] * 1e6
        row["served"] = None if served is None else workload.served() - served - 1
        beside.end(row)
        beside.stop()
        return row
    finally:
        beside.clean()


def run_rounds(args, workload, directory, group, series):
    for n in range(args.rounds):
        turn = n % len(args.variants)
        for variant in args.variants[turn:] + args.variants[:turn]:
            row = measure(args, variant, workload, directory, group)
            series["rounds"][variant].append(row)
            print(f"{workload.name} {series['placement']} {n + 1}/{args.rounds} {VARIANTS[variant].title}: "
                  f"{row['rps']:.3g} requests/s", file=sys.stderr)
    if not args.programs:
        return
    with bpfstats.counting():
        for variant in args.variants:
            if variant != "none":
                series["timed"][variant] = measure(args, variant, workload, directory, group, timed=True)


def run_all(args, directory, group, series):
    placements = ["shared", "pinned"] if args.placement == "both" else [args.placement]
    if "pinned" in placements and os.cpu_count() < 2:
        placements.remove("pinned")
        print("bench: one CPU only, not pinned", file=sys.stderr)
    for name in args.workload:
        for placement in placements:
            one = {"workload": name, "placement": placement, "rounds": {v: [] for v in args.variants}, "timed": {}}
            series.append(one)
            with contextlib.ExitStack() as stack:
                traced = Cgroup(f"{group}/traced")
                stack.callback(traced.remove)
                workload = WORKLOADS[name](args, Placement(placement), directory / f"{name}-{placement}", traced)
                stack.callback(workload.stop)
                workload.start()
                workload.warm()
                run_rounds(args, workload, directory, f"{group}/agent", one)


def show(args, series, load, directory):
    """Prints it all; what was wrong with it, in words."""
    lines = table.summarise(series)
    for line in lines:
        if line["workload"] == "body":
            line["mb_s"] = line["rps"] * args.body_mib * (1 << 20) / 1e6
    print(f"machine: {machine()}")
    print(f"date:    {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, {load} load before the start")
    print(f"command: tests/bench/run.sh {shlex.join(sys.argv[1:])}".rstrip())
    print(f"hooks:   {args.hooks}; {args.rounds} rounds, the variants taking turns; medians, ratios within "
          f"a round; missing, extra and lost are sums")
    if args.peer:
        print(f"peer:    {args.peer}")
    commands = {s["workload"]: rows[0]["command"] for s in reversed(series) for rows in s["rounds"].values() if rows}
    for name in (n for n in args.workload if n in commands):
        print(f"load:    {commands[name]}")
    print()
    table.show_results(lines)
    print()
    table.show_programs(series)
    wrong = []
    for s in series:
        where = f"{s['workload']} {s['placement']}"
        for variant, rows in s["rounds"].items():
            sizes = [row["sizes_right"] for row in rows if "sizes_right" in row]
            if sizes:
                print(f"\n{where} {VARIANTS[variant].title}: http.response.body.size is "
                      f"{'right in every round' if all(sizes) else 'wrong'}")
            if variant == "weft" and not all(sizes):
                wrong.append(f"{where}: a span has another http.response.body.size than its reply")
        rows = s["rounds"].get("weft", [])
        wrong += [f"{where}: {name} {value:.0f}" for name, value in sorted(table.losses(rows).items())]
        for key in table.SUMS:
            if n := sum(row[key] for row in rows):
                wrong.append(f"{where}: {n:.0f} spans {key}")
    for path in filter(None, (directory / "rounds.json", args.json)):
        path.write_text(json.dumps({"machine": machine(), "hooks": args.hooks, "table": lines, "series": series},
                                   indent=1) + "\n")
    return wrong


def main():
    args = parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: must run as root")
    if missing := workloads.missing(args.workload):
        sys.exit(f"bench: not installed: {', '.join(missing)}")
    if args.guest and not GUEST:
        enter_guest(args)
    load = float(open("/proc/loadavg").read().split()[0])
    if load > 0.5:
        print(f"bench: the machine is busy (load {load}): expect noise", file=sys.stderr)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weft-bench."))
    directory.chmod(0o755)
    failed, series, group = None, [], None
    try:
        args.hooks = args.hooks or hooks_here(args)
        group = Cgroup(f"/weft-bench-{os.getpid()}")
        run_all(args, directory, group.path, series)
    except Failure as e:
        failed = e
    finally:
        if group:
            group.remove()
    wrong = show(args, series, load, directory)
    if failed:
        wrong.append(str(failed))
    for text in wrong:
        print(f"bench: {text}", file=sys.stderr)
    if (args.keep or wrong) and not GUEST:
        print(f"bench: logs and every round's figures in {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
