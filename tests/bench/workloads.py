# SPDX-License-Identifier: Apache-2.0
"""What is traced, and the load on it: one small class a workload, in order in WORKLOADS."""
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess

from host import PATIENCE, Child, Failure, fetch, free_port, run, wait_for

HERE = pathlib.Path(__file__).resolve().parent

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
        listen 127.0.0.1:{port} backlog=4096 {listen};
        location / {{ root {dir}/www; }}
        location = /big {{ root {dir}/www; sendfile off; }}
        location = /count {{ stub_status; }}
    }}
}}
"""


class Placement:
    """shared: everything on every CPU; pinned: the server alone on CPU 0, all the rest on CPU 1."""

    def __init__(self, name):
        self.name = name
        self.server, self.rest = ({0}, {1}) if name == "pinned" else (None, None)
        self.workers = len(self.server or range(os.cpu_count()))
        self.threads = len(self.rest or range(os.cpu_count()))  # of the client


def percentiles(ms):
    """Of single latencies; of few of them the high ones would mean nothing."""
    ms = sorted(ms)
    return {key: ms[min(len(ms) - 1, int(len(ms) * share))]
            for key, share, least in (("p50_ms", .5, 1), ("p99_ms", .99, 100), ("p999_ms", .999, 1000))
            if len(ms) >= least}


class Workload:
    """A server in the traced cgroup, and its client outside. Subclasses say:"""
    name = ""
    needs = ()  # programs
    spans = 1  # that weft makes of a request; 0: it does not understand the protocol
    body_bytes = None  # of each reply, where the spans are to tell it

    def __init__(self, args, placement, directory, cgroup):
        self.args, self.placement, self.directory, self.cgroup = args, placement, directory, cgroup
        self.port = free_port()
        self.server = None
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)

    def start(self):
        """Starts the server, and returns when it answers."""
        raise NotImplementedError

    def load(self, seconds):
        """Puts load on it: {command, requests, rps, p50_ms, p99_ms, p999_ms}, what is not known left out."""
        raise NotImplementedError

    def warm(self):
        """Caches and clocks warm up."""
        self.load(1)

    def knock(self):
        """One request."""
        raise NotImplementedError

    def served(self):
        """How many requests the server says to have begun, this question among them; None: it does not say."""
        return None

    def serve(self, argv, **kwargs):
        self.server = Child(argv, cpus=self.placement.server, log=self.directory / "server.log",
                            cgroup=self.cgroup, stdout=subprocess.DEVNULL, **kwargs)
        wait_for(f"{argv[0]} to answer", lambda: self.server.check() and self.knock() is None, 20,
                 log=self.server.log)

    def client(self, argv):
        """The output of a load's command."""
        return run(argv, cpus=self.placement.rest, log=self.directory / "client.log")

    def stop(self):
        if self.server:
            self.server.stop()


def ask(argv):
    """A client for one request."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        raise OSError(f"{argv[0]}: {done.stderr.decode()}")


class Counted(Workload):
    """A load that is given a number of requests: what takes about the time asked for without an agent."""
    rate = None
    first = 1  # requests, to find out

    def load(self, seconds):
        return self.requests(max(1, round(self.rate * seconds)) if self.rate else self.first)

    def warm(self):
        for _ in range(2):  # the first one is cold
            row = self.load(1)
            self.rate = row["rps"]


class Nginx(Workload):
    listen = ""

    def start(self):
        (self.directory / "www").mkdir()
        (self.directory / "www/index.html").write_text("<html><body>" + "x" * 100 + "</body></html>\n")
        conf = self.directory / "nginx.conf"
        conf.write_text(NGINX_CONF.format(
            dir=self.directory, port=self.port, listen=self.listen, workers=self.placement.workers,
            affinity="worker_cpu_affinity 1;" if self.placement.server else ""))
        self.serve(["nginx", "-p", self.directory, "-c", conf])

    def url(self, path="index.html"):
        return f"http://127.0.0.1:{self.port}/{path}"

    def knock(self):
        fetch(self.url())

    def served(self):
        return int(fetch(self.url("count")).splitlines()[2].split()[2])

    def stop(self):
        if self.server:
            self.server.stop(signal.SIGQUIT)


class Keepalive(Nginx):
    """nginx with a small file under wrk, keep-alive"""
    name = "keepalive"
    needs = ("nginx", "wrk")
    headers = ()

    def load(self, seconds):
        argv = ["wrk", "-s", os.path.relpath(HERE / "wrk.lua"), f"-t{self.placement.threads}",
                f"-c{self.args.connections}", f"-d{seconds}s", *self.headers, self.url()]
        out = self.client(argv)
        if "Non-2xx" in out:
            raise Failure(f"wrk saw errors: {out}")
        row = json.loads(out.splitlines()[-1])
        if row.pop("errors"):
            raise Failure(f"wrk saw errors: {out}")
        return {"command": shlex.join(argv), "rps": row["requests"] / row.pop("seconds"), **row}


class Short(Keepalive):
    """the same, with a new connection for every request"""
    name = "short"
    headers = ("-H", "Connection: close")


class Body(Nginx, Counted):
    """nginx with a body of 1 GiB (--body-mib), written from its memory, under curl"""
    name = "body"
    needs = ("nginx", "curl")

    def __init__(self, *args):
        super().__init__(*args)
        self.body_bytes = self.args.body_mib << 20

    def start(self):
        super().start()
        with open(self.directory / "www/big", "wb") as big:
            big.truncate(self.body_bytes)  # holes: what is measured is no disk

    def served(self):
        return None  # curl says it exactly, and a question would be a span with another size

    def requests(self, n):
        argv = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{time_total}\\n",
                self.url(f"big?[1-{n}]")]
        times = []
        for line in self.client(argv).splitlines():
            code, size, seconds = line.split()
            if code != "200" or int(size) != self.body_bytes:
                raise Failure(f"curl got {code} and {size} bytes")
            times.append(float(seconds))
        return {"command": shlex.join(argv), "requests": n, "rps": n / sum(times),
                **percentiles([s * 1000 for s in times])}


class H2(Nginx):
    """nginx with a small file under h2load: HTTP/2 in clear, 10 streams a connection"""
    name = "h2"
    needs = ("nginx", "h2load", "curl")
    spans = 0
    listen = "http2"

    def knock(self):
        ask(["curl", "-sS", "-o", "/dev/null", "--http2-prior-knowledge", self.url()])

    def served(self):
        return None  # a question by HTTP/1 is not answered here

    def load(self, seconds):
        log = self.directory / "h2load.times"
        log.unlink(missing_ok=True)
        argv = ["h2load", f"-t{self.placement.threads}", f"-c{self.args.connections}", "-m10",
                f"-D{seconds}", f"--log-file={log}", self.url()]
        out = self.client(argv)
        # what was under way at the end is neither
        found = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", out)
        done, good, failed, errors = map(int, found.groups()) if found else (0, 0, 0, 0)
        if not done or good != done or failed or errors:
            raise Failure(f"h2load saw errors: {out}")
        with open(log) as lines:
            ms = [int(line.split()[2]) / 1000 for line in lines]
        log.unlink()
        return {"command": shlex.join(argv), "requests": done, "rps": done / seconds, **percentiles(ms)}


class Redis(Counted):
    """redis-server under redis-benchmark: GET of 100 bytes"""
    name = "redis"
    needs = ("redis-server", "redis-benchmark")
    spans = 0
    first = 5000
    pipeline = 1

    def start(self):
        self.serve(["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--save", "",
                    "--dir", self.directory])
        self.ask(b"SET", b"key:000000000000", b"x" * 100)  # what redis-benchmark then gets

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5 * PATIENCE) as s:
            s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words))
            return s.recv(4096)

    def knock(self):
        self.ask(b"GET", b"key:000000000000")

    def requests(self, n):
        argv = ["redis-benchmark", "-p", str(self.port), "-t", "get", "-c", str(self.args.connections),
                "-P", str(self.pipeline), "-n", str(n)]
        out = self.client(argv)
        rps = re.search(r"throughput summary: ([\d.]+)", out)
        least = re.findall(r"^([\d.]+)% <= ([\d.]+) milliseconds", out.partition("Cumulative")[0], re.M)
        if not rps or not least:
            raise Failure(f"redis-benchmark does not say: {out[-2000:]}")
        row = {"command": shlex.join(argv), "requests": n, "rps": float(rps.group(1))}
        for key, share in (("p50_ms", 50), ("p99_ms", 99), ("p999_ms", 99.9)):
            row[key] = next(float(ms) for percent, ms in least if float(percent) >= share)
        return row


class RedisPipelined(Redis):
    """the same, 16 requests at a time: latencies are those of 16"""
    name = "redis-pipelined"
    first = 50000
    pipeline = 16


def postgres(program):
    """Debian keeps the server's programs out of the PATH, a folder a version."""
    found = shutil.which(program) or max(
        pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), default=None,
        key=lambda p: int(p.parts[4]))
    if not found:
        raise Failure(f"{program} is not installed")
    return str(found)


class Pgbench(Workload):
    """PostgreSQL under pgbench: one SELECT by key, prepared"""
    name = "pgbench"
    needs = ("postgres", "initdb", "pgbench", "psql")
    spans = 0
    at_once = 1  # statements in a transaction

    def start(self):
        data, log = self.directory / "data", self.directory / "initdb.log"
        data.mkdir()
        shutil.chown(data, "postgres", "postgres")
        run([postgres("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N", "--locale=C", "-E", "UTF8"],
            log=log, user="postgres", cwd="/")
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "",
                    "ssl": "off", "fsync": "off", "max_connections": self.args.connections + 20}
        self.serve([postgres("postgres"), "-D", data, *(f"--{k}={v}" for k, v in settings.items())],
                   user="postgres", cwd="/")
        run([postgres("pgbench"), *self.where(), "-i", "-q", "-n", "postgres"], log=log)
        self.script().write_text(
            "\\startpipeline\n" + self.at_once *
            "\\set aid random(1, 100000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n" +
            "\\endpipeline\n")

    def where(self):
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]

    def script(self):
        return self.directory / "pipeline.sql"

    def what(self):
        return ["-S"]

    def knock(self):
        ask([postgres("psql"), *self.where(), "-qc", "SELECT 1", "postgres"])

    def load(self, seconds):
        argv = [postgres("pgbench"), *self.where(), "-n", *self.what(), "-M", "prepared",
                "-c", str(self.args.connections), "-j", str(self.placement.threads), "-T", str(seconds),
                "--log", f"--log-prefix={self.directory}/times", "postgres"]
        out = self.client(argv)
        rate = re.search(r"^tps = ([\d.]+)", out, re.M)
        done = re.search(r"transactions actually processed: (\d+)", out)
        if not rate or not done:
            raise Failure(f"pgbench does not say: {out[-2000:]}")
        ms = []
        for path in self.directory.glob("times.*"):
            with open(path) as lines:
                ms += [int(line.split()[2]) / 1000 for line in lines]
            path.unlink()
        return {"command": shlex.join(argv), "requests": int(done.group(1)) * self.at_once,
                "rps": float(rate.group(1)) * self.at_once, **percentiles(ms)}

    def stop(self):
        if self.server:
            self.server.stop(signal.SIGINT)  # waits for no client


class PgbenchPipelined(Pgbench):
    """the same, 8 statements at a time: latencies are those of 8"""
    name = "pgbench-pipelined"
    at_once = 8

    def what(self):
        return ["-f", str(self.script())]


WORKLOADS = {w.name: w for w in (Keepalive, Short, H2, Redis, RedisPipelined, Pgbench, PgbenchPipelined, Body)}


def missing(names):
    """Programs that these workloads need and this machine has not."""
    def is_there(program):
        try:
            return shutil.which(program) or postgres(program)
        except Failure:
            return False
    return sorted({p for name in names for p in WORKLOADS[name].needs if not is_there(p)})
