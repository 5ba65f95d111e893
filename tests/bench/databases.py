# SPDX-License-Identifier: Apache-2.0
"""Workloads of redis and PostgreSQL, whose protocols weft does not understand."""
import pathlib
import re
import shlex
import shutil
import signal
import socket

from host import PATIENCE, Failure, run
from workload import Counted, ask, percentiles


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
    newest = max(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), default=None,
                 key=lambda p: int(p.parts[4]))
    if not newest and not shutil.which(program):
        raise Failure(f"{program} is not installed")
    return str(newest or shutil.which(program))


class Pgbench(Counted):
    """PostgreSQL under pgbench: one SELECT by key, prepared"""
    name = "pgbench"
    needs = ("postgres", "initdb", "pgbench", "psql")
    spans = 0
    first = 5000  # within a given time a slow machine has done no more than to connect
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

    def requests(self, n):
        clients = self.args.connections
        argv = [postgres("pgbench"), *self.where(), "-n", *self.what(), "-M", "prepared",
                "-c", str(clients), "-j", str(self.threads),
                "-t", str(max(1, round(n / self.at_once / clients))),
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
