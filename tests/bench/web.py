# SPDX-License-Identifier: Apache-2.0
"""Workloads of nginx."""
import json
import os
import pathlib
import re
import shlex
import signal
import ssl
import urllib.request

from host import Failure, fetch, run
from workload import Counted, Workload, ask, percentiles

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
        {tls}
        location / {{ root {dir}/www; }}
        location = /big {{ root {dir}/www; sendfile off; }}
        location = /count {{ stub_status; }}
    }}
}}
"""


class Nginx(Workload):
    listen = tls = ""
    scheme = "http"

    def start(self):
        (self.directory / "www").mkdir()
        (self.directory / "www/index.html").write_text("<html><body>" + "x" * 100 + "</body></html>\n")
        conf = self.directory / "nginx.conf"
        conf.write_text(NGINX_CONF.format(
            dir=self.directory, port=self.port, listen=self.listen, tls=self.tls.format(dir=self.directory), workers=self.placement.workers,
            affinity="worker_cpu_affinity 1;" if self.placement.server else ""))
        self.serve(["nginx", "-p", self.directory, "-c", conf])

    def url(self, path="index.html"):
        return f"{self.scheme}://127.0.0.1:{self.port}/{path}"

    def knock(self):
        fetch(self.url())

    def served(self):
        return int(fetch(self.url("count")).splitlines()[2].split()[2])

    def stop(self):
        if self.server:
            self.server.stop(signal.SIGQUIT)


class Secure(Nginx):
    """Over TLS 1.3."""
    scheme = "https"
    listen = "ssl"
    tls = "ssl_protocols TLSv1.3; ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;"

    def start(self):
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", "/CN=localhost", "-keyout", self.directory / "key.pem", "-out", self.directory / "cert.pem"],
            log=self.directory / "openssl.log")
        super().start()

    def libraries(self):
        maps = pathlib.Path(f"/proc/{self.server.pid}/maps").read_text()
        return [next(line.split()[-1] for line in maps.splitlines() if "/libssl.so" in line)]

    def ask(self, path):
        with urllib.request.urlopen(self.url(path), timeout=5, context=ssl._create_unverified_context()) as reply:
            return reply.read().decode()


class Keepalive(Nginx):
    """nginx with a small file under wrk, keep-alive"""
    name = "keepalive"
    needs = ("nginx", "wrk")
    headers = ()

    def load(self, seconds):
        argv = ["wrk", "-s", os.path.relpath(HERE / "wrk.lua"), f"-t{self.threads}",
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


class Tls(Secure, Keepalive):
    """the same as keepalive, over TLS"""
    name = "tls"
    needs = ("nginx", "wrk", "openssl")

    def knock(self):
        self.ask("index.html")

    def served(self):
        return int(self.ask("count").splitlines()[2].split()[2])


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


class H2(Nginx, Counted):
    """nginx with a small file under h2load: HTTP/2 in clear, 10 streams a connection"""
    name = "h2"
    needs = ("nginx", "h2load", "curl")
    listen = "http2"
    first = 2000

    def knock(self):
        ask(["curl", "-sS", "-o", "/dev/null", "--http2-prior-knowledge", self.url()])

    def served(self):
        return None  # a question by HTTP/1 is not answered here

    def requests(self, n):
        log = self.directory / "h2load.times"
        log.unlink(missing_ok=True)
        n = max(n, self.args.connections * 10)
        argv = ["h2load", f"-t{self.threads}", f"-c{self.args.connections}", "-m10", f"-n{n}", f"--log-file={log}",
                self.url()]
        out = self.client(argv)
        found = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", out)
        rate = re.search(r"([\d.]+) req/s", out)
        if not found or not rate or [int(f) for f in found.groups()] != [n, n, 0, 0]:
            raise Failure(f"h2load saw errors: {out}")
        with open(log) as lines:
            ms = [int(line.split()[2]) / 1000 for line in lines]
        log.unlink()
        return {"command": shlex.join(argv), "requests": n, "rps": float(rate[1]), **percentiles(ms)}


class H2Tls(Secure, H2):
    """the same as h2, over TLS"""
    name = "h2-tls"
    needs = ("nginx", "h2load", "curl", "openssl")
    listen = "ssl http2"

    def knock(self):
        ask(["curl", "-k", "-sS", "-o", "/dev/null", self.url()])
