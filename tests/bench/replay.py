# SPDX-License-Identifier: Apache-2.0
"""What the agent alone can take, without a kernel beside it: records of nginx under wrk, recorded once,
then played back into the agent, which has one core for all its threads, at growing rates and at last
without a pace. The receiver has the other core. Prints one table; see run.sh replay --help for the options.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from host import Child, Failure, machine
from variants import Sink
from web import Keepalive
from workload import Placement

BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build-bench"))


def record(args, directory):
    """Requests, and seconds that the load ran."""
    nginx = Keepalive(args, Placement("pinned"), directory, None)
    try:
        nginx.start()
        master = nginx.server.pid
        children = pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()
        recorder = Child([str(args.build / "tests/bench/ring_record"), str(directory / "ring"), args.hooks,
                                master, *children],
                               log=directory / "record.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if recorder.proc.stdout.readline() != b"ready\n":
            raise Failure((directory / "record.log").read_text())
        row = nginx.load(args.seconds)
        time.sleep(0.3)
        recorder.proc.stdin.close()
        if recorder.proc.wait():
            raise Failure((directory / "record.log").read_text())
    finally:
        nginx.stop()
    return row["requests"], row["requests"] / row["rps"]


def replay(args, directory, requests, seconds, rate):
    """One rate (0: no pace) for about args.seconds. A dict of figures."""
    speed = rate * seconds / requests
    passes = max(1, round(args.seconds * rate / requests)) if rate else 3
    sink = Sink(args.build, {0}, directory / "sink.log")
    try:
        argv = [str(args.build / "tests/bench/ring_replay"), str(directory / "ring"), str(speed), str(passes),
                "--exporters", "otlp", "--listen", "off", "--status-interval", "0",
                "--otlp-endpoint", f"http://127.0.0.1:{sink.port}", *args.weft_args]
        log = directory / f"replay-{rate}.log"
        usage = Child(["/usr/bin/time", "-f", "%U %S %e", *argv], cpus={1}, log=log)
        usage.proc.wait()
        text = log.read_text()
        user, system, wall = map(float, text.splitlines()[-1].split())
        line = next(x for x in text.splitlines() if "msg=stopped" in x)
        said = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)(?= |$)", line)}
        return {"rate": rate, "spans": said["spans"], "sink": sink.settled()["spans"],
                "lost": said["lost"], "missing": max(0, passes * requests - said["spans"]),
                "us": (user + system) / said["spans"] * 1e6, "core": (user + system) / wall,
                "reading": float(re.search(r"^read in ([\d.]+) s", text, re.M).group(1))}
    finally:
        sink.stop()


def main():
    p = argparse.ArgumentParser(prog="tests/bench/run.sh replay", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", type=pathlib.Path, default=BUILD, help="default build-bench, made as needed")
    p.add_argument("--hooks", default="sock", choices=("sock", "syscalls", "fentry"))
    p.add_argument("--seconds", type=int, default=3, help="of the recording, and of each rate")
    p.add_argument("--connections", type=int, default=32)
    p.add_argument("--rates", default="25000,50000,100000,150000,200000", help="requests a second, by comma")
    p.add_argument("weft_args", nargs="*", metavar="-- FLAGS", help="further flags of weft run")
    args = p.parse_args()
    print(f"machine: {machine()}")
    with tempfile.TemporaryDirectory(prefix="weft-replay-") as name:
        directory = pathlib.Path(name)
        directory.chmod(0o755)
        requests, seconds = record(args, directory)
        print(f"recorded: {requests} requests in {seconds:.1f} s, "
              f"{(directory / 'ring').stat().st_size / requests:.0f} bytes each\n")
        print("| requests/s | spans | at the receiver | missing | lost | agent µs/request | of its core |")
        print("|-----------:|------:|----------------:|--------:|-----:|-----------------:|------------:|")
        for rate in [*map(int, args.rates.split(",")), 0]:
            r = replay(args, directory, requests, seconds, rate)
            asked = rate or f"no pace: {r['spans'] / r['reading']:.0f}"
            print(f"| {asked} | {r['spans']} | {r['sink']} | {r['missing']} | {r['lost']} "
                  f"| {r['us']:.2f} | {r['core']:.0%} |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Failure as e:
        sys.exit(f"replay: {e}")
