# SPDX-License-Identifier: Apache-2.0
"""The judges judged: what the live tests rely on to fail does fail."""
import pytest
from truth.judge import judge
from weftlib.books import Metrics
from weftlib.spans import Span, client, expect, expect_counts, server

BASE = 1_700_000_000 * 10**9


def make(n, service, kind, path, parent=0, start=0, end=100, link=None, trace=1, code=200):
    attrs = {"http.request.method": "GET", "http.response.status_code": code}
    attrs.update({"url.path": path} if kind == "server" else {"url.full": f"http://h{path}"})
    link = link or ("" if not parent else "socket" if kind == "server" else "thread")
    if link:
        attrs["weft.link"] = link
    return Span({"trace_id": f"{trace:032x}", "span_id": f"{n:016x}", "parent_id": f"{parent:016x}" if parent else "",
                 "name": "GET", "kind": kind, "service": service, "start_unix_ns": BASE + start, "end_unix_ns": BASE + end,
                 "attributes": attrs, "status": "unset", "link": link, "pid": 1})


def forest():
    return [make(1, "front", "server", "/a"), make(2, "front", "client", "/a", 1, 10, 90),
            make(3, "back", "server", "/a", 2, 20, 80)]


WANT = server("front", "GET /a", 200, client("front", "GET /a", 200, server("back", "GET /a")))


def test_right():
    expect(forest(), [WANT])
    expect_counts(forest(), [(WANT, 1)])


@pytest.mark.parametrize("change", [
    lambda s: s.append(make(9, "front", "server", "/a")),
    lambda s: s.pop(),
    lambda s: s.append(make(3, "back", "server", "/a", 2, 20, 80)),
    lambda s: s.__setitem__(2, make(3, "back", "server", "/a", 1, 20, 80)),
    lambda s: s.__setitem__(2, make(3, "back", "server", "/a", 2, 20, 91)),
    lambda s: s.__setitem__(2, make(3, "back", "server", "/a", 2, 9, 80)),
    lambda s: s.__setitem__(2, make(3, "back", "server", "/b", 2, 20, 80)),
    lambda s: s.__setitem__(2, make(3, "back", "server", "/a", 2, 20, 80, trace=2)),
    lambda s: s.__setitem__(2, make(3, "back", "server", "/a", 77, 20, 80)),
    lambda s: s.__setitem__(2, make(3, "back", "server", "/a", 0, 20, 80)),
    lambda s: s.__setitem__(1, make(2, "front", "client", "/a", 1, 90, 10)),
], ids=["extra", "missing", "twice", "wrong-parent", "ends-late", "starts-early", "wrong-path", "other-trace",
        "no-such-parent", "orphan", "backwards"])
def test_wrong(change):
    spans = forest()
    change(spans)
    with pytest.raises(AssertionError):
        expect(spans, [WANT])
    with pytest.raises(AssertionError):
        expect_counts(spans, [(WANT, 1)])


def truth(call_parent, leaf_parent):
    spans = [make(1, "app", "server", "/call/call-2-1"), make(2, "app", "server", "/call/call-2-2"),
             make(3, "app", "client", "/leaf/call-2-1", call_parent, 10, 90),
             make(4, "app", "client", "/leaf/call-2-2", 2, 10, 90),
             make(5, "leaf", "server", "/leaf/call-2-1", leaf_parent, 20, 80),
             make(6, "leaf", "server", "/leaf/call-2-2", 4, 20, 80)]
    done = {("call", 2): [(f"call-2-{i}", "call", f"/call/call-2-{i}") for i in (1, 2)]}
    return judge(spans, "app", done).rows["call", 2]


@pytest.mark.parametrize("call,leaf,want", [
    (1, 3, {"right": 2}), (0, 3, {"right": 1, "orphans": 1}), (2, 3, {"right": 1, "wrong": 1}),
    (1, 4, {"right": 2, "socket_wrong": 1}), (1, 0, {"right": 2, "socket_orphans": 1})])
def test_truth(call, leaf, want):
    row = truth(call, leaf)
    assert {k: row[k] for k in ("right", "orphans", "wrong", "socket_wrong", "socket_orphans") if row[k]} == want


def test_metrics():
    m = Metrics('# TYPE a counter\na_total{x="1"} 2\na_total{x="2"} 3\nb 1e3\n')
    assert m["a_total"] == 5 and m["a_total", 'x="2"'] == 3 and m["b"] == 1000 and m["c"] == 0
