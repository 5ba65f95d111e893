# SPDX-License-Identifier: Apache-2.0
"""The kinds of servers that are judged."""
from weftlib import servers

POOL = 4  # fewer connections than requests at a time: the pool is saturated

# What evidence there is: blocking servers and proxies must have every parent.
BLOCKING = ("python", "gunicorn", "java", "php", "ruby")
LOOPS = ("node", "asyncio", "go")
PROXIES = ("nginx", "nginx-keepalive", "haproxy", "haproxy-pool", "apache")
KINDS = BLOCKING + PROXIES + LOOPS
COMPLETE = BLOCKING + PROXIES
TLS = "tls+"  # before a kind: over HTTPS, with what is behind it as well
SECURE = tuple(TLS + kind for kind in ("python", "gunicorn", "ruby", "nginx", "nginx-keepalive", "haproxy", "node", "asyncio", "go"))


def start(lab, kind, leaf, beat=0, tls=False):
    """The server under judgement, in front of the leaf."""
    if kind in PROXIES:
        return {
            "nginx": lambda: servers.nginx_proxy(lab, kind, leaf, workers=2, tls=tls),
            "nginx-keepalive": lambda: servers.nginx_proxy(lab, kind, leaf, keepalive=POOL, tls=tls),
            "haproxy": lambda: servers.haproxy(lab, kind, leaf, tls=tls),
            "haproxy-pool": lambda: servers.haproxy(lab, kind, f"{leaf} maxconn {POOL}"),
            "apache": lambda: servers.apache_proxy(lab, kind, leaf),
        }[kind]()
    return servers.app(lab, kind, kind, to=leaf, pool=POOL, beat=beat, tls=tls)


def phases(kind):
    """[(phase, operations)]"""
    if kind in PROXIES:
        return [("pass", ["pass"])]
    return [(phase, None) for phase in ("call", "fan", "after", "timer", "retry", "refuse", "mix")]
