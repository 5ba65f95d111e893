# SPDX-License-Identifier: Apache-2.0
"""Where things are: the source tree, the build directory, the agent."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
APPS = Path(__file__).resolve().parent / "apps"
BUILD = Path(os.environ.get("WEFT_BUILD", ROOT / "build"))
MADE = Path(os.environ["WEFT_TEST_MADE"]) if os.environ.get("WEFT_TEST_MADE") else None  # by made.py
WEFT = Path(os.environ.get("WEFT_BIN", BUILD / "agent" / "weft"))


def built(name):
    """A helper program of tests/e2e/meson.build, or None."""
    path = BUILD / "tests" / "e2e" / name
    return path if path.exists() else None
