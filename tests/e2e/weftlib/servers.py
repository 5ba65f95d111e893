# SPDX-License-Identifier: Apache-2.0
"""Real servers, configured in a directory of the test's own, on free loopback ports."""
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import fetched, paths
from .proc import free_port

CPU = Path("/proc/cpuinfo").read_text()

NGINX = """
worker_processes {workers};
worker_rlimit_nofile {files};
pid {dir}/pid;
error_log {dir}/error.log;
daemon off;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  types {{ text/plain txt; }}
  client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;
  uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
  keepalive_requests 1000000;
  sendfile {sendfile};
  {http}
  server {{
    listen {listen} backlog=512;
    {listen6}
    {server}
  }}
}}
"""

LEAF = """location /leaf/ { return 200 "ok\\n"; }
    location /fail/ { return 503 "no\\n"; }"""


class Running:
    def __init__(self, process, port, name, root=None):
        self.process, self.port, self.name, self.root = process, port, name, root

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        self.process.stop()


def missing(*programs):
    """Why the first of the programs that cannot be had cannot, or None."""
    path = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin:/usr/local/go/bin"
    absent = next((p for p in programs if not shutil.which(p, path=path)), None)
    if absent:
        return f"{absent} is not installed"
    if "haproxy" in programs and platform.machine() == "x86_64" and " cx16 " not in CPU:
        return "haproxy needs cmpxchg16b, which an emulated CPU may not have"
    return None


def old_go(major, minor):
    """Why the Go here cannot build what needs that version, or None."""
    version = subprocess.run([which("go"), "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    have = tuple(int(n) for n in re.findall(r"\d+", version)[:2])
    return None if have >= (major, minor) else f"needs Go {major}.{minor}, there is {version.strip()}"


def which(program):
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin:/usr/local/go/bin")


def nginx(lab, name, server=LEAF, http="", workers=1, sendfile="on", v6=None, port=None, connections=1024, tls=False,
          listen="", **more):
    """nginx with the given server block; `connections` of each worker; listen: what else is said of that."""
    if tls:
        pem = certificate(lab)
        listen = f"ssl {listen}"
        http += f"ssl_certificate {pem}/cert.pem; ssl_certificate_key {pem}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;"
    root, port = lab.dir(name), port or free_port()
    (root / "www").mkdir()
    (root / "nginx.conf").write_text(NGINX.format(
        dir=root, workers=workers, connections=connections, files=2 * connections, http=http, sendfile=sendfile,
        listen=f"127.0.0.1:{port} {listen}", listen6=f"listen {v6};" if v6 else "",
        server=server.replace("$ROOT", str(root / "www"))))
    process = lab.process([which("nginx"), "-e", root / "error.log", "-p", root, "-c", root / "nginx.conf"],
                          name, **more)
    process.wait_port(port)
    lab.adopt(process, name, workers)
    return Running(process, port, name, root / "www")


def nginx_static(lab, name, **more):
    """Serves files of .root."""
    return nginx(lab, name, "location / { root $ROOT; }", **more)


def nginx_proxy(lab, name, to, keepalive=0, rewrite="", tls=False, **more):
    """A proxy, with that many kept connections to the one behind (0: a new one each); to: its port, or the path
    of its Unix socket."""
    back = f"127.0.0.1:{to}" if isinstance(to, int) else f"unix:{to}"
    http = f"upstream back {{ server {back}; {f'keepalive {keepalive};' if keepalive else ''} }}"
    server = f"""location / {{
      {rewrite}
      proxy_pass {'https' if tls else 'http'}://back; {'proxy_ssl_protocols TLSv1.3; proxy_ssl_server_name on; proxy_ssl_name localhost;' if tls else ''}
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      {'proxy_http_version 1.1; proxy_set_header Connection "";' if keepalive else ''}
    }}"""
    return nginx(lab, name, server, http, tls=tls, **more)


APACHE = """
ServerRoot {dir}
ServerName t
PidFile {dir}/pid
ErrorLog {dir}/error.log
Listen 127.0.0.1:{port}
User www-data
Group www-data
DefaultRuntimeDir {dir}
Mutex posixsem
KeepAlive On
KeepAliveTimeout 60
MaxKeepAliveRequests 0
{modules}
<IfModule mpm_prefork_module>
  StartServers 4
  MinSpareServers 1
  MaxSpareServers 80
  MaxRequestWorkers 80
  ServerLimit 80
</IfModule>
DocumentRoot {dir}/www
<Directory {dir}/www>
  Require all granted
</Directory>
{more}
"""


def apache(lab, name, mpm="prefork", config="", mods=(), **more):
    """Apache httpd with the given multi-processing module."""
    root, port = lab.dir(name), free_port()
    (root / "www").mkdir()
    (root / "www").chmod(0o755)
    loaded = [f"mpm_{mpm}", "authz_core", "dir", "headers", *mods]
    modules = "\n".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so" for m in loaded)
    (root / "httpd.conf").write_text(APACHE.format(dir=root, port=port, modules=modules, more=config))
    process = lab.process([which("apache2"), "-X" if more.pop("single", False) else "-DFOREGROUND",
                           "-f", root / "httpd.conf"], name, **more)
    process.wait_port(port)
    return Running(process, port, name, root / "www")


def apache_proxy(lab, name, to, mpm="prefork", **more):
    return apache(lab, name, mpm, f"ProxyPass / http://127.0.0.1:{to}/ connectiontimeout=5\n",
                  ("proxy", "proxy_http"), **more)


HAPROXY = """
global
  nbthread {threads}
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  {options}
frontend f
  bind 127.0.0.1:{port} {bind}
  default_backend b
backend b
  server s 127.0.0.1:{to}
"""


def haproxy(lab, name, to, threads=1, options="", tls=False, listen="", **more):
    root, port = lab.dir(name), free_port()
    (root / "haproxy.cfg").write_text(HAPROXY.format(
        port=port, to=f"{to} ssl verify none" if tls else to, threads=threads, options=options,
        bind=f"ssl crt {certificate(lab)}/one.pem {listen}" if tls else listen))
    process = lab.process([which("haproxy"), "-db", "-f", root / "haproxy.cfg"], name, **more)
    process.wait_port(port)
    return Running(process, port, name)


FPM = """
[global]
daemonize = no
error_log = {dir}/error.log
[www]
user = root
group = root
listen = {listen}
listen.backlog = 256
listen.mode = 0666
pm = static
pm.max_children = {workers}
clear_env = no
"""


def fpm_program():
    """php-fpm; Debian's has its version in its name."""
    return next((str(p) for d in ("/usr/sbin", "/usr/local/sbin") for p in sorted(Path(d).glob("php-fpm*"))), None)


def fpm(lab, name, to, workers=4, unix=False, **more):
    """PHP-FPM: processes that speak FastCGI. .listen is what a web server in front connects to."""
    root, port = lab.dir(name), free_port()
    listen = f"{root}/socket" if unix else f"127.0.0.1:{port}"
    (root / "fpm.conf").write_text(FPM.format(dir=root, listen=listen, workers=workers))
    process = lab.process([fpm_program(), "-R", "-F", "-n", "-y", root / "fpm.conf"], name,
                          env={"NEXT": str(to), "DEAD": "9"}, **more)
    if unix:
        process.wait_path(f"{root}/socket")
    else:
        process.wait_port(port)
    lab.adopt(process, name, workers)
    running = Running(process, port, name, root)
    running.listen = f"unix:{listen}" if unix else listen
    return running


def nginx_fastcgi(lab, name, back, script, keepalive=0, **more):
    """Every request to one PHP script behind FastCGI."""
    http = f"upstream back {{ server {back.listen}; {f'keepalive {keepalive};' if keepalive else ''} }}"
    server = f"""location / {{
      fastcgi_pass back;
      {'fastcgi_keep_conn on;' if keepalive else ''}
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param QUERY_STRING $query_string;
    }}"""
    return nginx(lab, name, server, http, **more)


def app(lab, kind, name, to=0, pool=0, beat=0, dead=9, tls=False, flags=(), program=None, **more):
    """One of apps/, the same service in several languages; tls: over HTTPS, as what it calls; flags: of Go's build;
    program: another Node.js, or another Go by its version."""
    port = free_port()
    if tls:
        more["env"] = {"TLS": str(certificate(lab)), "SSL_CERT_FILE": f"{certificate(lab)}/cert.pem", **more.get("env", {})}
    env = {"PORT": str(port), "NEXT": str(to), "POOL": str(pool), "BACKGROUND_MS": str(beat),
           "DEAD": str(dead), "PYTHONDONTWRITEBYTECODE": "1", **more.pop("env", {})}
    argv = {
        "python": lambda: [python(), paths.APPS / "threads.py"],
        "gunicorn": lambda: [python(), "-m", "gunicorn", "-w", "4", "--timeout", "300", "--backlog", "256", "-b", f"127.0.0.1:{port}",
                             *([f"--certfile={certificate(lab)}/cert.pem", f"--keyfile={certificate(lab)}/key.pem"]
                               if tls else []), "wsgi:app"],
        "asyncio": lambda: [python(), paths.APPS / "aio.py"],
        "engine": lambda: [python(), paths.APPS / "engine.py"],
        "node": lambda: [program or which("node"), paths.APPS / "app.js"],
        "java": lambda: [which("java"), "-XX:TieredStopAtLevel=1", "-Dsun.net.httpserver.nodelay=true", "-cp",
                         java_classes(lab), "App"],
        "go": lambda: [go_binary(lab, *flags, toolchain=program)],
        "dotnet": lambda: [dotnet(lab) / "package/dotnet", dotnet(lab) / "App.dll"],
        "php": lambda: [which("php"), "-S", f"127.0.0.1:{port}", paths.APPS / "app.php"],
        "ruby": lambda: [which("puma"), "-b", f"ssl://127.0.0.1:{port}?backlog=256&key={certificate(lab)}/key.pem"
                         f"&cert={certificate(lab)}/cert.pem" if tls else f"tcp://127.0.0.1:{port}?backlog=256", "-t", "64:64", "-C",
                         puma_config(lab), paths.APPS / "config.ru"],
    }[kind]()
    if kind == "php":
        env["PHP_CLI_SERVER_WORKERS"] = "4"
    if kind == "dotnet":
        env |= fetched.dotnet_env(dotnet(lab))
    process = lab.process(argv, name, env=env, cwd=paths.APPS, **more)
    process.wait_port(port, timeout=30)
    return Running(process, port, name)


NEEDS = {"python": (), "gunicorn": ("gunicorn",), "asyncio": (), "node": ("node",), "java": ("java", "javac"),
         "go": ("go",), "dotnet": ("npm",), "php": ("php",), "ruby": ("puma",), "fpm": (fpm_program() or "php-fpm",), "nginx": ("nginx",), "haproxy": ("haproxy",),
         "apache": ("apache2",), "curl": ("curl",), "nghttpd": ("nghttpd",), "nghttp": ("nghttp",), "h2load": ("h2load",), "npm": ("npm",), "mvn": ("mvn", "javac"), "wrk": ("wrk",), "netns": ("ip",), "nft": ("nft",)}


def python():
    """The system's own, where gunicorn's package is."""
    return "/usr/bin/python3"


def certificate(lab):
    """A directory with cert.pem and key.pem, for localhost; both in one.pem, and in app.p12 with a password."""
    def make(part):
        part.mkdir()
        subprocess.run([which("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", part / "key.pem", "-out", part / "cert.pem", "-days", "30", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        (part / "one.pem").write_text((part / "cert.pem").read_text() + (part / "key.pem").read_text())
        subprocess.run([which("openssl"), "pkcs12", "-export", "-in", part / "one.pem", "-out", part / "app.p12",
                        "-passout", "pass:secret"], check=True)
        part.chmod(0o755)
        for file in part.iterdir():
            file.chmod(0o644)
    return once(lab, "certificate", make)


def once(lab, name, make):
    """Builds something at most once a test run, beside the tests' temporary directories; never where all was made in
    advance (made.py)."""
    path = (paths.MADE or lab.tmp.parent) / name
    if not path.exists():
        assert not paths.MADE, f"{name} was not made in advance, see weftlib/made.py"
        part = lab.tmp.parent / f"{name}.part-{os.getpid()}"
        make(part)
        part.rename(path)
    return path


def dotnet(lab):
    return once(lab, "dotnet", fetched.dotnet)


def old_node(lab, openssl):
    """Node.js with that version of OpenSSL in it."""
    return once(lab, f"node-{openssl}", fetched.node(openssl)) / "package/bin/node"


def curl_cffi(lab):
    """A directory for PYTHONPATH."""
    return once(lab, "curl-cffi", lambda part: fetched.with_pip(fetched.CURL_CFFI, part))


def uv(lab):
    program = next(once(lab, "uv", lambda part: fetched.wheel(fetched.UV, part)).glob("*/scripts/uv"))
    program.chmod(0o755)
    return program


def java_classes(lab):
    def make(part):
        part.mkdir()
        subprocess.run([which("javac"), "-d", part, paths.APPS / "App.java"], check=True)
    return once(lab, "java-classes", make)


NETTY = [Path(f"/usr/share/java/netty-{part}.jar") for part in (
    "buffer", "common", "transport", "transport-native-unix-common", "handler", "codec", "codec-http", "resolver",
    "tcnative")]
TCNATIVE = Path(f"/usr/lib/{platform.machine()}-linux-gnu/jni/libnetty-tcnative.so")


def netty_classes(lab, static):
    """The directory with apps/Netty.java's classes, and what else has to be in the class path."""
    jars = sorted(once(lab, "netty-jars", fetched.netty).glob("*.jar")) if static else NETTY

    def make(part):
        part.mkdir()
        subprocess.run([which("javac"), "-cp", ":".join(map(str, jars)), "-d", part, paths.APPS / "Netty.java"], check=True)
        if not static:
            # it looks at its own name, which is not Debian's
            shutil.copy(TCNATIVE, part / "libnetty_tcnative.so")
        subprocess.run([which("openssl"), "pkcs8", "-topk8", "-nocrypt", "-in", certificate(lab) / "key.pem", "-out",
                        part / "pkcs8.pem"], check=True)
        shutil.copy(certificate(lab) / "cert.pem", part)
    return once(lab, "netty-static" if static else "netty", make), jars


def netty(lab, name, static=False):
    """apps/Netty.java: HTTPS through OpenSSL in Java; static: through a BoringSSL in a file that is deleted."""
    (made, jars), port = netty_classes(lab, static), free_port()
    process = lab.process([which("java"), "-XX:TieredStopAtLevel=1", f"-Djava.library.path={made}", "-cp",
                           ":".join(map(str, [*jars, made])), "Netty"], name, env={"TLS": str(made), "PORT": str(port)})
    process.wait_port(port, timeout=30)
    return Running(process, port, name)


GO_BUILDS = {"stripped": {"flags": ["-ldflags=-s -w"]}, "pie": {"flags": ["-buildmode=pie"]},
             "1.21": {"program": "go1.21.13"}, "1.23": {"program": "go1.23.12"}}


def go_binary(lab, *flags, toolchain=None):
    """apps/gohttp; toolchain: a version of Go that is fetched for it, from 1.21 on."""
    def make(part):
        env = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": toolchain or "local", "CGO_ENABLED": "0"}
        if not toolchain:
            env["GOPROXY"] = "off"
        subprocess.run([which("go"), "build", *flags, "-o", part, "."], cwd=paths.APPS / "gohttp", env=env, check=True)
    return once(lab, "gohttp" + "".join(c for c in "".join(flags) + (toolchain or "") if c.isalnum()), make)


def grpc_echo(lab, language):
    """The argv of apps/grpc in a language, to which serve or call is added; fetched and built once."""
    source = paths.APPS / "grpc"

    def make_go(part):
        subprocess.run([which("go"), "build", "-o", part, "."], cwd=source / "go", check=True,
                       env={**os.environ, "CGO_ENABLED": "0"})

    def make_node(part):
        shutil.copytree(source / "node", part)
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=part, check=True)

    return {"python": lambda: [sys.executable, source / "echo.py"],
            "go": lambda: [once(lab, "grpc-go", make_go)],
            "node": lambda: [which("node"), once(lab, "grpc-node", make_node) / "echo.js"]}[language]()


def puma_config(lab):
    path = lab.tmp / "puma.rb"
    # Without the reactor a connection is one thread's from its first byte to its last.
    path.write_text("queue_requests false\nlog_requests false\npersistent_timeout 60\n")
    return path
