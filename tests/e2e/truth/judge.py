# SPDX-License-Identifier: Apache-2.0
"""Judges every parent by the tokens in the paths."""
from collections import Counter, defaultdict

FIELDS = ("requests", "calls", "right", "orphans", "wrong", "missing", "sockets", "socket_orphans",
          "socket_wrong", "outside")


def token_of(s):
    """(token, suffix): /leaf/call-8-12.a -> (call-8-12, a)"""
    part = s.path.split("/")
    if len(part) < 3:
        return "", ""
    token, _, suffix = part[2].partition(".")
    return token, suffix


def calls_of(op, token, path):
    """The calls that a request made: (key, it is a child)."""
    if op in ("call", "timer"):
        return [(token, True)]
    if op == "fan":
        return [(f"{token}.a", True), (f"{token}.b", True)]
    if op == "retry":
        return [(f"{token}.1", True), (f"{token}.2", True)]
    if op == "refuse":
        return [("connect " + path.rsplit("/", 1)[1], True), (f"{token}.2", True)]
    if op == "after":
        return [(f"{token}.after", False)]
    if op == "pass":
        return [(token, True)]
    return []


def call_key(s):
    """What tells one call from another."""
    if not s.path:
        return "connect " + s.attrs.get("server.address", "")
    token, suffix = token_of(s)
    return f"{token}.{suffix}" if suffix else token


class Table:
    """Sums by (phase, concurrency)."""

    def __init__(self):
        self.rows = defaultdict(Counter)
        self.notes = []

    def note(self, text):
        if len(self.notes) < 20:
            self.notes.append(text)


def judge(spans, name, done):
    """done: {(phase, concurrency): [(token, op, path)]}. name: the service between driver and leaf."""
    table = Table()
    by_id = {s.id: s for s in spans}
    served = {token_of(s)[0]: s for s in spans if s.service == name and s.kind == "server"}
    called, leaves = {}, defaultdict(list)
    for s in spans:
        if s.service == name and s.kind == "client":
            called[call_key(s)] = s
        elif s.service == "leaf":
            leaves[call_key(s)].append(s)

    for cell, requests in done.items():
        row = table.rows[cell]
        for token, op, path in requests:
            row["requests"] += 1
            own = served.get(token)
            if own is None:
                row["missing"] += 1
                table.note(f"no span of {path}")
            elif own.parent:
                row["wrong"] += 1
                table.note(f"{own} has a parent, but its caller is not traced")
            for key, is_child in calls_of(op, token, path):
                judge_call(row, table, key, is_child, own, called, by_id)
                if not key.startswith("connect "):
                    judge_leaf(row, table, key, called, leaves)

    beats = [s for s in called.values() if token_of(s)[0] == "bg"]
    if beats:
        row = table.rows["background", 0]
        for s in beats:
            row["calls"] += 1
            row["wrong" if s.parent else "right"] += 1
            if s.parent:
                table.note(f"background call {s} below {by_id.get(s.parent)}")

    for s in spans:
        parent = by_id.get(s.parent)
        # an app that is ended leaves calls behind that its backend still answers
        given_up = parent and s.kind == "server" and parent.error in ("aborted", "connection_closed")
        end = s.start if token_of(s)[1] == "after" else s.end  # that may well take longer
        if parent and not given_up and not (parent.start <= s.start and end <= parent.end):
            cell = next((c for c, reqs in done.items() if any(token_of(s)[0] == r[0] for r in reqs)), ("?", 0))
            table.rows[cell]["outside"] += 1
            table.note(f"{s}\n  outside {parent}: {s.start - parent.start} .. {parent.end - s.end}")
    return table


def judge_call(row, table, key, is_child, own, called, by_id):
    row["calls"] += 1
    s = called.get(key)
    if s is None:
        row["missing"] += 1
        table.note(f"no span of the call {key}")
    elif not is_child:
        # a server may hand its reply on to be sent while it goes on: then its own request is still open
        wrong = s.parent and not (own and s.parent == own.id and s.start <= own.end)
        row["wrong" if wrong else "right"] += 1
        if wrong:
            table.note(f"{s} came after the reply, yet has the parent {by_id.get(s.parent)}")
    elif not s.parent:
        row["orphans"] += 1
        table.note(f"{s}\n  has no parent, its request is {own}")
    elif own is not None and s.parent == own.id:
        row["right"] += 1
        row[f"by_{s.link}"] += 1
    else:
        row["wrong"] += 1
        table.note(f"{s}\n  below {by_id.get(s.parent)}")


def judge_leaf(row, table, key, called, leaves):
    row["sockets"] += 1
    found, call = leaves.get(key, []), called.get(key)
    if len(found) != 1:
        row["missing"] += 1
        table.note(f"{len(found)} server spans of the call {key}")
    elif not found[0].parent:
        row["socket_orphans"] += 1
    elif call is None or found[0].parent != call.id:
        row["socket_wrong"] += 1
        table.note(f"{found[0]} is not below the call {call}")
