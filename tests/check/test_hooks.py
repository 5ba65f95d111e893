# SPDX-License-Identifier: Apache-2.0
"""The bench's empty programs hang where weft's do, else it would compare weft with something else."""
import re
import subprocess

import pytest

import tree


def hooks(*objects):
    found = set()
    for name in objects:
        dump = subprocess.run(["readelf", "-SW", tree.BUILD / name], capture_output=True, text=True, check=True)
        found |= set(re.findall(r"\s((?:fentry|fexit|tp_btf|tracepoint)/\S+)\s", dump.stdout))
    return {name for name in found if not name.startswith(".")}


@pytest.mark.skipif(not (tree.BUILD / "tests/bench/empty_sock.bpf.o").exists(), reason="the bench is not built")
@pytest.mark.parametrize("hook_set", ["fentry", "sock", "syscalls"])
def test_empty_programs_hang_where_wefts_do(hook_set):
    empty = hooks("tests/bench/empty_life.bpf.o", f"tests/bench/empty_{hook_set}.bpf.o")
    assert empty == hooks(f"bpf/{hook_set}.bpf.o")
