# SPDX-License-Identifier: Apache-2.0
"""The README's table of options is the one that weft prints (update-reference.sh writes it)."""
import os
import subprocess
from pathlib import Path

import pytest

import tree

WEFT = Path(os.environ.get("WEFT_BIN", tree.BUILD / "agent" / "weft"))
BEGIN, END = "<!-- options:begin -->\n", "<!-- options:end -->"


@pytest.mark.skipif(not WEFT.exists(), reason="the agent is not built")
def test_readme_has_the_options():
    printed = subprocess.run([WEFT, "check-config", "--reference"], capture_output=True, text=True,
                             check=True).stdout
    readme = (tree.ROOT / "README.md").read_text()
    assert BEGIN in readme and END in readme
    assert readme.split(BEGIN)[1].split(END)[0] == printed, "run tests/check/update-reference.sh"
