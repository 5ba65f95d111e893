# SPDX-License-Identifier: Apache-2.0
"""What processes have in the kernel: their eBPF programs with the time that those took, and their maps.

The descriptors of a process name its programs, links and maps (/proc/PID/fdinfo), and that is all
bpftool's own search for owners knows, which not every kernel allows; bpftool tells the rest.
"""
import contextlib
import json
import pathlib

from host import Failure, run

SWITCH = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")


def held(pids):
    """The ids of the programs and of the maps behind the descriptors of these processes."""
    ids = {"prog_id": set(), "map_id": set()}
    for pid in pids:
        for info in pathlib.Path(f"/proc/{pid}/fdinfo").glob("*"):
            try:
                lines = info.read_text().splitlines()
            except OSError:
                continue  # closed meanwhile
            for line in lines:
                key, _, value = line.partition(":")
                if key in ids:
                    ids[key].add(int(value))
    return ids["prog_id"], ids["map_id"]


def bpftool(what):
    return json.loads(run(["bpftool", "-j", what, "show"]) or "[]")


def programs(pids):
    """{id: (name, runs, ns)} of what these processes have loaded."""
    ids, _ = held(pids)
    return {p["id"]: (p.get("name", "?"), p.get("run_cnt", 0), p.get("run_time_ns", 0))
            for p in bpftool("prog") if p["id"] in ids}


def map_mb(pids):
    ids, maps = held(pids)
    for program in bpftool("prog"):
        if program["id"] in ids:
            maps.update(program.get("map_ids", ()))
    return sum(m.get("bytes_memlock", 0) for m in bpftool("map") if m["id"] in maps) / 1e6


def difference(before, after):
    """{name: [runs, ns]} of the programs that ran between the two."""
    found = {}
    for number, (name, runs, ns) in after.items():
        _, runs_before, ns_before = before.get(number, (name, 0, 0))
        if runs > runs_before:
            total = found.setdefault(name, [0, 0])
            total[0] += runs - runs_before
            total[1] += ns - ns_before
    return found


@contextlib.contextmanager
def counting():
    """The kernel times every run of every program meanwhile, which costs something itself."""
    try:
        was = SWITCH.read_text()
        SWITCH.write_text("1")
    except OSError as e:
        raise Failure(f"the kernel's statistics of eBPF programs: {e}") from None
    try:
        yield
    finally:
        SWITCH.write_text(was)
