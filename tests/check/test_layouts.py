# SPDX-License-Identifier: Apache-2.0
"""What kernel and agent share lies in memory alike on both sides, without hidden padding."""
import re
import shutil
import subprocess

import pytest

import tree

STRUCT = re.compile(r"^struct (\w+) \{", re.M)


def headers():
    return [p.name for p in tree.files(".h", under="include/weft")]


def structs():
    return [name for p in tree.files(".h", under="include/weft") for name in STRUCT.findall(tree.text(p))]


def layouts(target, directory):
    """{struct: lines of clang's dump of its layout}"""
    program = "".join(f'#include "weft/{name}"\n' for name in headers())
    program += "".join(f"int size_{name}[sizeof(struct {name})];\n" for name in structs())
    source = directory / "layouts.c"
    source.write_text(program)
    multiarch = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True).stdout.strip()
    argv = ["clang", "-fsyntax-only", "-Xclang", "-fdump-record-layouts", f"-I{tree.ROOT}/include", str(source)]
    if target:
        argv += ["-target", target, f"-idirafter/usr/include/{multiarch}", "-include", "linux/types.h"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {}
    for dump in done.stdout.split("*** Dumping AST Record Layout")[1:]:
        lines = [re.sub(r"\s+", " ", line.replace("__u", "uint").replace("__s", "int")).strip()
                 for line in dump.strip().splitlines()]
        name = re.search(r"\| struct (\w+)$", lines[0])
        if name:
            found[name.group(1)] = lines
    return {name: found[name] for name in structs()}


def offsets(lines):
    """(offset, field) of the direct members, and the size."""
    members = []
    for line in lines:
        m = re.match(r"(\d+) \| .*?(\w+)$", line)
        if m:
            members.append((int(m.group(1)), m.group(2)))
    size = re.search(r"sizeof=(\d+)", " ".join(lines))
    return members, int(size.group(1))


needs_clang = pytest.mark.skipif(not shutil.which("clang"), reason="clang is not installed")


@needs_clang
def test_kernel_and_agent_agree(tmp_path):
    host, bpf = layouts(None, tmp_path), layouts("bpf", tmp_path)
    assert structs(), "no shared structs were found"
    for name in structs():
        assert offsets(host[name]) == offsets(bpf[name]), name


@needs_clang
def test_no_hidden_padding(tmp_path):
    program = "".join(f'#include "weft/{name}"\n' for name in headers())
    source = tmp_path / "padding.c"
    source.write_text(program)
    done = subprocess.run(["clang", "-fsyntax-only", "-Wpadded", "-Werror", f"-I{tree.ROOT}/include", str(source)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
