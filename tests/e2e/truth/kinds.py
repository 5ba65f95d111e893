# SPDX-License-Identifier: Apache-2.0
"""The kinds of servers that are judged."""
from weftlib import servers

POOL = 4  # fewer connections than requests at a time: the pool is saturated

# What evidence there is: blocking servers and proxies must have every parent.
BLOCKING = ("python", "gunicorn", "java", "php", "ruby")
LOOPS = ("node", "asyncio", "go", "dotnet")
PROXIES = ("nginx", "nginx-keepalive", "haproxy", "haproxy-pool", "apache")
KINDS = BLOCKING + PROXIES + LOOPS
COMPLETE = BLOCKING + PROXIES
TLS = "tls+"  # before a kind: over HTTPS, with what is behind it as well
H2 = "h2+"  # asked by HTTP/2, all of it on one connection
SECURE = tuple(TLS + kind for kind in (
    "python", "gunicorn", "ruby", "nginx", "nginx-keepalive", "haproxy", "node", "asyncio", "go", "dotnet"))
SHARED = tuple(H2 + kind for kind in ("nginx", "nginx-keepalive", "haproxy", "node")) + (TLS + H2 + "go",)


def server(kind):
    """Without what stands before it."""
    return kind.rpartition("+")[2]


def start(lab, kind, leaf, beat=0):
    """The server under judgement, in front of the leaf."""
    tls, h2, kind = TLS in kind, H2 in kind, server(kind)
    listen = "http2" if h2 else ""
    if kind in PROXIES:
        return {
            "nginx": lambda: servers.nginx_proxy(lab, kind, leaf, workers=2, tls=tls, listen=listen),
            "nginx-keepalive": lambda: servers.nginx_proxy(lab, kind, leaf, keepalive=POOL, tls=tls, listen=listen),
            "haproxy": lambda: servers.haproxy(lab, kind, leaf, tls=tls, listen="proto h2" if h2 else ""),
            "haproxy-pool": lambda: servers.haproxy(lab, kind, f"{leaf} maxconn {POOL}"),
            "apache": lambda: servers.apache_proxy(lab, kind, leaf),
        }[kind]()
    return servers.app(lab, kind, kind, to=leaf, pool=POOL, beat=beat, tls=tls, env={"H2": "1"} if h2 else {})


def phases(kind):
    """[(phase, operations)]"""
    if server(kind) in PROXIES:
        return [("pass", ["pass"])]
    return [(phase, None) for phase in ("call", "fan", "after", "timer", "retry", "refuse", "mix")]
