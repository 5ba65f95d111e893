# SPDX-License-Identifier: Apache-2.0
"""The files of the project, as the checks see them."""
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", ROOT / "build"))


def files(*suffixes, under=""):
    out = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--", under or "."],
                         cwd=ROOT, capture_output=True, check=True).stdout.decode()
    found = [pathlib.Path(name) for name in out.split("\0") if name]
    return [p for p in found if (ROOT / p).is_file() and (not suffixes or p.name.endswith(suffixes))]


def text(path):
    return (ROOT / path).read_text(errors="replace")


STRING = r'"(?:\\.|[^"\\\n])*"'
CHAR = r"'(?:\\.|[^'\\\n])+'"
COMMENT = r"/\*.*?\*/|//[^\n]*"


def code(path):
    """A C file's text without comments and with empty strings, its lines kept."""
    def blank(m):
        found = m.group(0)
        return '""' if found[0] == '"' else "0" if found[0] == "'" else "\n" * found.count("\n")

    return re.sub(f"{STRING}|{CHAR}|{COMMENT}", blank, text(path), flags=re.S)


def find(pattern, paths, reader=code):
    """path:line: text of every match."""
    found = []
    for path in paths:
        for number, line in enumerate(reader(path).splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{path}:{number}: {line.strip()}")
    return found
