# SPDX-License-Identifier: Apache-2.0
"""Exported spans, and the judging of them: a test names the whole forest that it expects, so that a
span too many fails as surely as a missing one."""
import re
from urllib.parse import urlsplit


class Span:
    def __init__(self, data):
        self.data = data
        self.trace, self.id = data["trace_id"], data["span_id"]
        self.parent = data.get("parent_id") or ""
        self.name, self.kind, self.service = data["name"], data["kind"], data["service"]
        self.start, self.end = int(data["start_unix_ns"]), int(data["end_unix_ns"])
        self.attrs, self.resource = data["attributes"], data.get("resource", {})
        self.status, self.link, self.pid = data["status"], data.get("link") or "", data["pid"]

    @property
    def method(self):
        return self.attrs.get("http.request.method", "")

    @property
    def path(self):
        if self.kind == "server":
            return self.attrs.get("url.path", "")
        url = self.attrs.get("url.full", "")
        return urlsplit(url).path if "://" in url else ""  # CONNECT has only an authority

    @property
    def code(self):
        return self.attrs.get("http.response.status_code", 0)

    @property
    def error(self):
        return self.attrs.get("error.type", "")

    def __repr__(self):
        return (f"{self.service} {self.kind} {self.method} {self.path} {self.code}"
                f"{' !' + self.error if self.error else ''} [{self.link}] pid={self.pid} id={self.id}"
                f" parent={self.parent or '-'} {(self.end - self.start) / 1e6:.3f}ms")


class Want:
    """One expected span and its children. `error`: None means: by the status alone."""

    def __init__(self, service, kind, what, code=200, *children, link=None, error=None, remote=None,
                 **attrs):
        self.service, self.kind = service, kind
        self.method, _, self.path = what.partition(" ")
        self.code, self.children, self.remote = code, children, remote
        self.link = link
        if error is None:
            bad = code >= 500 or (kind == "client" and code >= 400)
            error = str(code) if bad else ""
        self.error = error
        self.attrs = {k.replace("__", "."): v for k, v in attrs.items()}

    def key(self):
        return (self.service, self.kind, self.method, self.path, self.code, self.error)

    def __repr__(self):
        return " ".join(map(str, self.key()))


def server(service, what, code=200, *children, **more):
    return Want(service, "server", what, code, *children, **more)


def client(service, what, code=200, *children, **more):
    return Want(service, "client", what, code, *children, **more)


def span_key(s):
    return (s.service, s.kind, s.method, s.path, s.code, s.error)


class Forest:
    def __init__(self, spans):
        self.by_id = {s.id: s for s in spans}
        assert len(self.by_id) == len(spans), "a span was exported twice"
        self.children = {}
        for s in spans:
            self.children.setdefault(s.parent if s.parent in self.by_id else "", []).append(s)
        self.roots = self.children.get("", [])

    def lines(self, nodes=None, depth=0):
        for s in sorted(self.roots if nodes is None else nodes, key=lambda s: s.start):
            yield "  " * depth + repr(s)
            yield from self.lines(self.children.get(s.id, []), depth + 1)

    def __str__(self):
        return "\n".join(self.lines())


def check_sane(spans):
    """What holds for every span, whatever the test is about."""
    forest = Forest(spans)
    for s in spans:
        assert re.fullmatch(r"[0-9a-f]{32}", s.trace) and int(s.trace, 16), s
        assert re.fullmatch(r"[0-9a-f]{16}", s.id) and int(s.id, 16), s
        assert not s.parent or (re.fullmatch(r"[0-9a-f]{16}", s.parent) and int(s.parent, 16)), s
        assert s.start <= s.end, s
        assert s.start > 1_600_000_000 * 10**9, s
        assert s.kind in ("server", "client"), s
        assert s.status == ("error" if s.error else "unset"), s
        assert bool(s.link) == bool(s.parent), s
        assert s.attrs.get("weft.link", s.link) == s.link, s
        parent = forest.by_id.get(s.parent)
        if parent:
            assert parent.trace == s.trace, f"{s} is in another trace than its parent {parent}"
            # a server may work on for a client that gave up
            given_up = s.kind == "server" and parent.error in ("aborted", "timeout", "connection_reset",
                                                                        "connection_closed")
            inside = parent.start <= s.start and (s.end <= parent.end or given_up)
            assert inside, (f"{s}\n is outside its parent\n{parent}: starts {s.start - parent.start} ns"
                            f" after it, ends {parent.end - s.end} ns before it")
            assert s.link in (("socket", "header") if s.kind == "server" else
                              ("thread", "forward", "header")), s
        elif s.parent:
            assert s.link == "header", f"{s}: its parent does not exist\n{forest}"
    return forest


def matches(want, s, forest):
    if want.key() != span_key(s):
        return False
    if want.remote is not None and s.parent != want.remote:
        return False
    if want.link is not None and s.link != want.link:
        return False
    if any(s.attrs.get(k) != v for k, v in want.attrs.items()):
        return False
    return assign(want.children, forest.children.get(s.id, []), forest)


def assign(wants, spans, forest):
    """True if the spans can be told off against the wants, one each, nothing left over."""
    if len(wants) != len(spans):
        return False
    if not wants:
        return True
    for i, s in enumerate(spans):
        if matches(wants[0], s, forest) and assign(wants[1:], spans[:i] + spans[i + 1:], forest):
            return True
    return False


def describe(wants, depth=0):
    for want in wants:
        more = "".join(f" {k}={v!r}" for k, v in
                       {"link": want.link, "remote": want.remote, **want.attrs}.items() if v is not None)
        yield "  " * depth + repr(want) + more
        yield from describe(want.children, depth + 1)


def expect(spans, wants):
    """Asserts that the spans are exactly this forest. Returns it."""
    forest = check_sane(spans)
    roots = [s for s in forest.roots]
    for s in roots:
        remote = any(w.remote is not None for w in wants)
        assert not s.parent or remote, f"unexpected parent: {s}"
    if not assign(list(wants), roots, forest):
        raise AssertionError("the spans are\n" + str(forest) + "\nbut these were expected\n"
                             + "\n".join(describe(wants))
                             + "\n\nattributes:\n" + "\n".join(f"{s.id} {s.name!r} {s.attrs}" for s in spans))
    return forest


def shape(s, forest):
    """A tree as a value, for counting equal ones under load."""
    return (span_key(s), tuple(sorted(shape(c, forest) for c in forest.children.get(s.id, []))))


def want_shape(want):
    return (want.key(), tuple(sorted(map(want_shape, want.children))))


def expect_counts(spans, counts):
    """counts: [(want, n)]: exactly n trees of each shape, nothing else."""
    forest = check_sane(spans)
    have = {}
    for s in forest.roots:
        key = shape(s, forest)
        have[key] = have.get(key, 0) + 1
    want = {}
    for tree, n in counts:
        want[want_shape(tree)] = want.get(want_shape(tree), 0) + n
    if have != want:
        raise AssertionError("trees, how often and expected:\n" + "\n".join(
            f"{have.get(k, 0)} of {want.get(k, 0)}: {k}" for k in {**have, **want}
            if have.get(k, 0) != want.get(k, 0)))
    return forest
