# SPDX-License-Identifier: Apache-2.0
"""No mutable state outside of what struct agent owns, the log's and the signals' flags aside."""
import re
import shutil
import subprocess

import pytest

import tree

ALLOWED = re.compile(r"core_log\.c\.o: \w+$"
                     r"|/agent\.c\.o: (stop|reload)_requested$")  # all that a signal handler can reach
LIBRARY = tree.BUILD / "agent/libweft.a"


def mutable_symbols():
    """object: symbol for every object in a writable section that stays writable."""
    dump = subprocess.run(["objdump", "-t", LIBRARY], capture_output=True, text=True, check=True,
                          cwd=LIBRARY.parent).stdout
    where, found = "", []
    for line in dump.splitlines():
        if m := re.match(r"(\S+\.o):\s+file format", line):
            where = m.group(1)
        m = re.match(r"[0-9a-f]+ .{7} (\.\S+)\s+([0-9a-f]+)\s+(\S+)$", line)
        if not m or int(m.group(2), 16) == 0 or m.group(3).startswith("."):
            continue
        section = m.group(1)
        if re.match(r"\.(data|bss|tdata|tbss)\b", section) and not section.startswith(".data.rel.ro"):
            found.append(f"{where}: {m.group(3)}")
    return found


@pytest.mark.skipif(not LIBRARY.exists(), reason="libweft.a is not built")
@pytest.mark.skipif(not shutil.which("objdump"), reason="binutils is not installed")
def test_no_mutable_globals():
    found = [s for s in mutable_symbols() if not ALLOWED.search(s)]
    assert not found, "\n".join(found)
