# SPDX-License-Identifier: Apache-2.0
"""Which sets of hooks, and ways for records to take, the live tests use: WEFT_TEST_HOOKS is a list of sets
("sock") and of pairs ("syscalls-perf"). A set by itself means both transports for the tests marked core.
Without it those take each set and each transport once: a record is the same whichever way it takes."""
import os

ALL = ["sock", "syscalls", "fentry"]
TRANSPORTS = ["ringbuf", "perf"]
CORE = ["sock-ringbuf", "syscalls-perf", "fentry-ringbuf"]
ASKED = [word for word in os.environ.get("WEFT_TEST_HOOKS", "").split(",") if word]


def pairs(core):
    """[(hooks, transport)] for a test."""
    found = []
    for word in ASKED or (CORE if core else ALL[:1]):
        hooks, _, transport = word.partition("-")
        found += [(hooks, t) for t in ([transport] if transport else TRANSPORTS if core else TRANSPORTS[:1])]
    return found


DEFAULT = pairs(core=False)[0]
