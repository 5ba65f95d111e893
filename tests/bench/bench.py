# SPDX-License-Identifier: Apache-2.0
"""nginx with a small file under wrk: (a) no agent, (b) the hooks with empty programs, (c) weft.

The three take turns, round by round, so that a machine that slows down or speeds up does so for all
of them. Prints one table; see run.sh --help for the options.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
CGROUP = "weft-bench"
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
VARIANTS = ("none", "empty", "weft")
TITLES = {"none": "(a) no agent", "empty": "(b) empty hooks", "weft": "(c) weft"}

NGINX_CONF = """
daemon off;
master_process on;
worker_processes {workers};
{affinity}
pid {dir}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    types {{ text/html html; }}
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ root {dir}/www; }}
        location = /count {{ stub_status; }}
    }}
}}
"""


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(url, timeout=5):
    with urllib.request.urlopen(url, timeout=timeout) as reply:
        return reply.read().decode()


def wait_for(what, probe, seconds=10.0, step=0.02):
    """The probe's first true answer; a Failure when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            answer = probe()
        except (OSError, ValueError):
            answer = None
        if answer:
            return answer
        time.sleep(step)
    raise Failure(f"timed out waiting for {what}")


def cpu_seconds(pid):
    """User and system time of all threads of a process."""
    after_name = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(after_name[11]) + int(after_name[12])) * TICK_S


def peak_rss_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise Failure(f"no VmHWM for {pid}")


def cgroup2_mount():
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return pathlib.Path(fields[1])
    raise Failure("no cgroup v2 hierarchy is mounted")


class Child:
    """A process of ours, ended by its own pid."""

    def __init__(self, argv, cpus=None, log=None, cgroup=None, **kwargs):
        def prepare():
            if cgroup:
                (cgroup / "cgroup.procs").write_text(str(os.getpid()))
            if cpus is not None:
                os.sched_setaffinity(0, cpus)

        self.log = log
        err = open(log, "ab") if log else subprocess.DEVNULL
        self.proc = subprocess.Popen(argv, stderr=err, preexec_fn=prepare, **kwargs)
        self.pid = self.proc.pid
        if log:
            err.close()

    def stop(self, sig=signal.SIGTERM, seconds=20.0):
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
            try:
                self.proc.wait(seconds)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        return self.proc.returncode


class Nginx(Child):
    def __init__(self, directory, placement, cgroup):
        self.port = free_port()
        pinned = placement == "pinned"
        (directory / "www").mkdir(parents=True)
        (directory / "www/index.html").write_text("<html><body>" + "x" * 100 + "</body></html>\n")
        os.chmod(directory, 0o755)
        conf = directory / "nginx.conf"
        conf.write_text(NGINX_CONF.format(dir=directory, port=self.port,
                                          workers=1 if pinned else os.cpu_count(),
                                          affinity="worker_cpu_affinity 1;" if pinned else ""))
        super().__init__(["nginx", "-p", str(directory), "-c", str(conf)], cpus={0} if pinned else None,
                         log=directory / "nginx.log", cgroup=cgroup, stdout=subprocess.DEVNULL)
        try:
            wait_for("nginx", self.requests)
        except Failure:
            self.stop()
            raise Failure(f"nginx does not answer: {(directory / 'nginx.log').read_text()}")

    def requests(self):
        """Requests begun since the start, this one included."""
        return int(fetch(f"http://127.0.0.1:{self.port}/count").splitlines()[2].split()[2])

    def cpu(self):
        tasks = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return sum(cpu_seconds(pid) for pid in tasks)


class Empty(Child):
    def __init__(self, args, cpus, log):
        super().__init__([str(args.build / "tests/bench/empty_hooks"), args.hooks], cpus=cpus, log=log,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.proc.stdout.readline() != b"ready\n":
            raise Failure(f"empty_hooks: {pathlib.Path(log).read_text()}")

    def stop(self, *_):
        self.proc.stdin.close()
        return self.proc.wait()


class Sink(Child):
    """otlp_count: takes OTLP over HTTP, and says what it got at /stats."""

    def __init__(self, args, cpus, log):
        self.port = free_port()
        super().__init__([str(args.build / "tests/bench/otlp_count"), str(self.port)], cpus=cpus, log=log,
                         stdout=subprocess.DEVNULL)
        wait_for("the OTLP sink", self.stats)

    def stats(self):
        return json.loads(fetch(f"http://127.0.0.1:{self.port}/stats"))

    def spans(self):
        return self.stats()["spans"]

    def settled(self, seconds=20.0):
        """The counts once they have stood still for a while."""
        end = time.monotonic() + seconds
        last, since = self.stats(), time.monotonic()
        while time.monotonic() < end:
            time.sleep(0.1)
            now = self.stats()
            if now["spans"] != last["spans"]:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > 1.5:
                return now
        raise Failure("spans still arrive long after the load ended")


class Weft(Child):
    def __init__(self, args, cpus, log, sink):
        self.port = free_port()
        argv = [str(args.build / "agent/weft"), "run", "--hooks", args.hooks,
                "--include", f"cgroup=/{CGROUP}", "--exporters", "otlp",
                "--listen", f"127.0.0.1:{self.port}"]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "WEFT_"))}
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{sink.port}"
        self.started = time.monotonic()
        super().__init__(argv + args.weft_args, cpus=cpus, log=log, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, env=env)

    def first_span(self, nginx, sink):
        """Seconds from exec to the first span at the sink, while a client asks all the time."""
        stop = threading.Event()

        def ask():
            while not stop.is_set():
                fetch(f"http://127.0.0.1:{nginx.port}/index.html")
                time.sleep(0.002)

        client = threading.Thread(target=ask)
        client.start()
        try:
            wait_for("a first span", lambda: self.alive() and sink.spans() > 0, 15.0, 0.005)
            return time.monotonic() - self.started
        finally:
            stop.set()
            client.join()

    def alive(self):
        if self.proc.poll() is not None:
            raise Failure(f"weft ended with {self.proc.returncode}: "
                          f"{pathlib.Path(self.log).read_text()[-2000:]}")
        return True

    def metrics(self):
        values = {}
        for line in fetch(f"http://127.0.0.1:{self.port}/metrics").splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values


def to_ms(text):
    for suffix, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60000.0)):
        if text.endswith(suffix):
            return float(text[: -len(suffix)]) * factor
    raise Failure(f"wrk: what is {text}?")


def run_wrk(args, nginx, cpus, seconds):
    threads = len(cpus) if cpus else os.cpu_count()
    argv = ["wrk", "--latency", f"-t{threads}", f"-c{args.connections}", f"-d{seconds}s",
            f"http://127.0.0.1:{nginx.port}/index.html"]
    wrk = Child(argv, cpus=cpus, stdout=subprocess.PIPE)
    out = wrk.proc.communicate()[0].decode()
    if wrk.proc.returncode:
        raise Failure(f"wrk ended with {wrk.proc.returncode}: {out}")
    found = {"command": shlex.join(argv)}
    for line in out.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "50%":
            found["p50_ms"] = to_ms(words[1])
        elif words[0] == "99%":
            found["p99_ms"] = to_ms(words[1])
        elif words[0] == "Requests/sec:":
            found["rps"] = float(words[1])
        elif words[1:3] == ["requests", "in"]:
            found["requests"] = int(words[0])
        elif words[0] in ("Socket", "Non-2xx"):
            raise Failure(f"wrk saw errors: {line.strip()}")
    return found


def is_loss(name):
    base = name.split("{")[0]
    if "requests_done" in base:
        return 'result="paired"' not in name and 'result="closed"' not in name
    return any(word in base for word in ("lost", "dropped", "failed", "hole_bytes", "evicted",
                                         "conflicts", "bad", "unpaired", "rejected"))


def measure(args, variant, nginx, cpus, directory):
    """One round of one variant: a dict of figures."""
    log = directory / f"{variant}.log"
    empty = sink = weft = None
    before, baseline, first = {}, {}, 0.0
    try:
        if variant == "empty":
            empty = Empty(args, cpus, log)
        elif variant == "weft":
            sink = Sink(args, cpus, directory / "sink.log")
            weft = Weft(args, cpus, log, sink)
            first = weft.first_span(nginx, sink)
            baseline = sink.settled()
            before = weft.metrics()
            weft_cpu = cpu_seconds(weft.pid)
        time.sleep(0.3)
        nginx_requests, nginx_cpu = nginx.requests(), nginx.cpu()
        row = run_wrk(args, nginx, cpus, args.seconds)
        row["nginx_us"] = (nginx.cpu() - nginx_cpu) / row["requests"] * 1e6
        row["served"] = nginx.requests() - nginx_requests
        if weft:
            got = sink.settled()
            weft.alive()
            after = weft.metrics()
            row["spans"] = got["spans"] - baseline["spans"]
            row["span_bytes"] = (got["bytes"] - baseline["bytes"]) / max(row["spans"], 1)
            row["weft_us"] = (cpu_seconds(weft.pid) - weft_cpu) / row["requests"] * 1e6
            row["rss_mb"] = peak_rss_mb(weft.pid)
            row["first_ms"] = first * 1000
            row["records"] = after.get("weft_records_read_total", 0) - before.get("weft_records_read_total", 0)
            row["metrics"] = {n: v - before.get(n, 0) for n, v in after.items() if v != before.get(n, 0)}
            row["losses"] = {n: v for n, v in row["metrics"].items() if is_loss(n) and v > 0}
            row["sink"] = got
            # served counts the second reading of nginx' counter, the spans both.
            row["missing"] = max(0, row["requests"] - row["spans"])
            row["extra"] = max(0, row["spans"] - row["served"] - 1)
            if weft.stop() != 0:
                raise Failure(f"weft ended with {weft.proc.returncode} on SIGTERM: see {log}")
        return row
    finally:
        for child in (weft, sink, empty):
            if child and child.proc.poll() is None:
                child.stop()


def median(rows, key):
    values = [row[key] for row in rows if key in row]
    return statistics.median(values) if values else None


def ratio(rows, base):
    """Median over the rounds of this round's throughput against the same round's other one."""
    return statistics.median(r["rps"] / b["rps"] for r, b in zip(rows, base)) if rows and base else None


def summarise(results):
    table = []
    for placement, by_variant in results.items():
        for variant in VARIANTS:
            rows = by_variant.get(variant)
            if not rows:
                continue
            line = {"placement": placement, "variant": variant,
                    "ratio_a": ratio(rows, by_variant.get("none")), "ratio_b": None}
            if variant == "weft":
                line["ratio_b"] = ratio(rows, by_variant.get("empty"))
                line["lost"] = sum(sum(r["losses"].values()) for r in rows)
                for key in ("missing", "extra"):
                    line[key] = sum(r[key] for r in rows)
            for key in ("rps", "p50_ms", "p99_ms", "nginx_us", "weft_us", "rss_mb", "records", "spans",
                        "first_ms", "span_bytes"):
                line[key] = median(rows, key)
            table.append(line)
    return table


# heading, key, format
COLUMNS = (
    ("requests/s", "rps", "{:.0f}"), ("/(a)", "ratio_a", "{:.3f}"), ("/(b)", "ratio_b", "{:.3f}"),
    ("p50 ms", "p50_ms", "{:.2f}"), ("p99 ms", "p99_ms", "{:.2f}"),
    ("nginx µs/req", "nginx_us", "{:.1f}"), ("weft ms/1000 req", "weft_us", "{:.1f}"),
    ("peak RSS MB", "rss_mb", "{:.1f}"), ("records", "records", "{:.0f}"), ("spans", "spans", "{:.0f}"),
    ("missing", "missing", "{:.0f}"), ("extra", "extra", "{:.0f}"), ("lost", "lost", "{:.0f}"),
    ("first span ms", "first_ms", "{:.0f}"), ("bytes/span", "span_bytes", "{:.0f}"),
)


def print_table(table):
    cells = [["placement", "variant"] + [c[0] for c in COLUMNS]]
    for line in table:
        cells.append([line["placement"], TITLES[line["variant"]]] +
                     [c[2].format(line[c[1]]) if line.get(c[1]) is not None else "–" for c in COLUMNS])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for n, row in enumerate(cells):
        print("| " + " | ".join(c.ljust(w) if i < 2 else c.rjust(w)
                                for i, (c, w) in enumerate(zip(row, widths))) + " |")
        if n == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), platform.machine())
    memory = int(open("/proc/meminfo").readline().split()[1]) / 1024 / 1024
    return f"{os.cpu_count()} × {model}, {memory:.1f} GB, Linux {platform.release()}"


def parse_args():
    p = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--hooks", choices=("fentry", "sock", "syscalls"), default="sock")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=int, default=6, help="of load, a round and variant")
    p.add_argument("--connections", type=int, default=32)
    p.add_argument("--placement", choices=("shared", "pinned", "both"), default="both",
                   help="shared: all on every CPU; pinned: nginx alone on CPU 0, the rest on CPU 1")
    p.add_argument("--variants", default=",".join(VARIANTS), help="of none,empty,weft")
    p.add_argument("--build", type=pathlib.Path, default=HERE.parent.parent / "build")
    p.add_argument("--json", type=pathlib.Path, help="write every round's figures to this file")
    p.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    p.add_argument("weft_args", nargs="*", help="after --: further arguments for weft run")
    args = p.parse_args()
    args.variants = [v for v in VARIANTS if v in args.variants.split(",")]
    return args


def run_placement(args, placement, directory, cgroup):
    cpus = {1} if placement == "pinned" else None
    nginx = Nginx(directory / placement, placement, cgroup)
    results = {v: [] for v in args.variants}
    try:
        run_wrk(args, nginx, cpus, 1)  # caches and clocks warm up
        for n in range(args.rounds):
            turn = n % len(args.variants)
            for variant in args.variants[turn:] + args.variants[:turn]:
                row = measure(args, variant, nginx, cpus, directory)
                results[variant].append(row)
                print(f"{placement} {n + 1}/{args.rounds} {TITLES[variant]}: {row['rps']:.0f} requests/s",
                      file=sys.stderr)
    finally:
        nginx.stop(signal.SIGQUIT)
    return results


def main():
    args = parse_args()
    for tool in ("nginx", "wrk"):
        if not shutil.which(tool):
            sys.exit(f"bench: {tool} is not installed")
    if os.geteuid() != 0:
        sys.exit("bench: must run as root")
    placements = ["shared", "pinned"] if args.placement == "both" else [args.placement]
    if "pinned" in placements and os.cpu_count() < 2:
        placements.remove("pinned")
        print("bench: one CPU only, not pinned", file=sys.stderr)

    directory = pathlib.Path(tempfile.mkdtemp(prefix="weft-bench."))
    os.chmod(directory, 0o755)
    cgroup = cgroup2_mount() / CGROUP
    cgroup.mkdir(exist_ok=True)
    load = float(open("/proc/loadavg").read().split()[0])
    if load > 0.5:
        print(f"bench: the machine is busy (load {load}): expect noise", file=sys.stderr)
    failed = None
    results = {}
    try:
        for placement in placements:
            results[placement] = run_placement(args, placement, directory, cgroup)
    except Failure as e:
        failed = str(e)
    finally:
        try:
            cgroup.rmdir()
        except OSError:
            pass

    table = summarise(results)
    some = next((r for p in results.values() for rows in p.values() for r in rows), None)
    print(f"machine: {machine()}")
    print(f"date:    {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC, "
          f"{load} load before the start")
    print(f"command: tests/bench/run.sh {shlex.join(sys.argv[1:])}".rstrip())
    print(f"hooks:   {args.hooks}; {args.rounds} rounds, the variants taking turns; medians, ratios within "
          f"a round; missing, extra and lost are sums")
    if some:
        print(f"load:    {some['command']}\n")
        print_table(table)
    losses = {}
    for by_variant in results.values():
        for row in by_variant.get("weft", []):
            for name, value in row["losses"].items():
                losses[name] = losses.get(name, 0) + value
    for name, value in sorted(losses.items()):
        print(f"{name} {value:.0f}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "hooks": args.hooks, "table": table,
                                         "rounds": results}, indent=1) + "\n")
    missing = sum(line.get("missing") or 0 for line in table)
    extra = sum(line.get("extra") or 0 for line in table)
    if failed:
        print(f"bench: {failed}", file=sys.stderr)
    elif missing or extra or losses:
        failed = True
        print(f"bench: {missing:.0f} spans missing, {extra:.0f} too many, {sum(losses.values()):.0f} lost",
              file=sys.stderr)
    if args.keep or failed:
        print(f"bench: logs in {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
