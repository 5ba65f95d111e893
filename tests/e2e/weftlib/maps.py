# SPDX-License-Identifier: Apache-2.0
"""The agent's BPF maps, through bpftool."""
import contextlib
import json
import re
import subprocess
from pathlib import Path


def maps_of(agent):
    """{name: id} of weft's maps. By its descriptors: not every kernel tells bpftool whose a map is."""
    found = {}
    for fd in Path(f"/proc/{agent.child.pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile: no map
            if by_id := re.search(r"^map_id:\s*(\d+)", fd.read_text(), re.M):
                found[bpftool("show", "id", by_id[1])["name"]] = by_id[1]
    return found


def bpftool(*args):
    return json.loads(subprocess.run(["bpftool", "-j", "map", *args], check=True, capture_output=True).stdout)


CONNS = slice(8, 16)  # struct weft_control's count of connections


def control(agent):
    """(id, bytes)"""
    found = maps_of(agent)["control"]
    return found, bytearray(int(b, 16) for b in bpftool("dump", "id", found)[0]["value"])


def count_of(agent):
    return int.from_bytes(control(agent)[1][CONNS], "little")


def spoil_count(agent, conns):
    """Sets the programs' count of connections, when nothing goes on."""
    found, value = control(agent)
    value[CONNS] = conns.to_bytes(8, "little")
    subprocess.run(["bpftool", "map", "update", "id", found, "key", "hex", "0", "0", "0", "0", "value", "hex",
                    *(f"{b:x}" for b in value)], check=True)
