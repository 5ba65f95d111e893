# SPDX-License-Identifier: Apache-2.0
"""What no source file may hold."""
import pathlib
import re
import subprocess

import tree

C = (".c", ".h")
PRODUCT = ("agent", "bpf", "include", "tests/bench")
MAX_LINES = 700

BANNED = ("strcpy", "stpcpy", "strcat", "strncat", "strncpy", "sprintf", "vsprintf", "strtok", "strtok_r",
          "atoi", "atol", "atoll", "atof", "gets", "alloca", "system", "popen", "tmpnam", "mktemp")

# Standard output and error belong to the log, but for what these are there to print.
PRINTS = re.compile(r"agent/(main|config\w*|self/doctor\w*|export/(terminal|json)\w*)\.c$|tests/bench/")


def product(*suffixes):
    return [p for p in tree.files(*suffixes) if str(p).startswith(PRODUCT)]


def test_no_banned_calls():
    found = tree.find(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(", product(*C))
    assert not found, "\n".join(found)


def test_only_the_log_and_what_is_asked_for_is_printed():
    paths = [p for p in product(*C) if not PRINTS.search(str(p)) and p.parts[0] == "agent"]
    found = tree.find(r"(?<!\w)(v?printf|puts|putchar|perror)\s*\(|\bfprintf\s*\(\s*std(err|out)", paths)
    assert not found, "\n".join(found)


def test_no_macro_hides_a_return():
    found = []
    for path in product(*C):
        joined = re.sub(r"\\\n", " ", tree.code(path))
        for line in joined.splitlines():
            if not re.match(r"\s*#\s*define\b", line) or not re.search(r"\breturn\b", line):
                continue
            if not re.search(r"\bint\s+[\w#]+\([^()]*\)\s*\{", line):  # else it defines a whole function
                found.append(f"{path}: {line.split('(')[0].strip()}")
    assert not found, "\n".join(found)


def test_files_are_short():
    long = []
    for path in tree.files(".c", ".h", ".py", ".sh"):
        lines = tree.text(path).count("\n")
        if lines > MAX_LINES:
            long.append(f"{path}: {lines} lines")
    assert not long, "\n".join(long)


def test_every_file_names_its_licence():
    wrong = []
    for path in tree.files(".c", ".h", ".py", ".sh"):
        head = tree.text(path).splitlines()[: 1 if path.suffix in C else 3]
        if tree.text(path).strip() and not any("SPDX-License-Identifier:" in line for line in head):
            wrong.append(str(path))
    assert not wrong, "\n".join(wrong)


def test_kernel_programs_are_dual_licensed():
    """The kernel lends the helpers that weft needs to GPL-compatible programs only."""
    wrong = []
    for path in tree.files(".bpf.c"):
        head = tree.text(path).splitlines()[0]
        if not ("GPL-2.0" in head and "BSD-2-Clause" in head and "Dual BSD/GPL" in tree.text(path)):
            wrong.append(str(path))
    assert not wrong, "\n".join(wrong)


def test_headers_guard_with_pragma_once():
    wrong = [str(p) for p in product(".h") if not re.search(r"^#pragma once$", tree.text(p), re.M)]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_left_for_later():
    words = "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"))
    found = tree.find(rf"\b({words})\b", tree.files(*C, ".py", ".sh", ".js", ".rb", ".build", ".md", ".yaml"),
                      reader=tree.text)
    assert not found, "\n".join(found)


def test_no_path_of_the_machine_it_was_written_on():
    common = {"/", "/tmp", "/home", "/root", "/srv", "/opt", "/var", "/usr", "/mnt", "/src", "/build", "/var/tmp"}
    own = [str(p) for p in (tree.ROOT, *tree.ROOT.parents) if str(p) not in common]
    pattern = "|".join([re.escape(p) + r"\b" for p in own] + [r"/home/\w+/", r"/Users/\w+/"])
    found = tree.find(r"(?<![\w.])(" + pattern + ")", tree.files(), reader=tree.text)
    assert not found, "\n".join(found)


def test_every_source_file_is_built():
    built = " ".join(tree.text(p) for p in tree.files("meson.build", under="agent"))
    missing = [str(p) for p in tree.files(".c", under="agent") if f"'{p.name}'" not in built]
    assert not missing, "\n".join(missing)


def test_shell_scripts_parse():
    scripts = [p for p in tree.files() if re.match(r"#!/bin/(ba)?sh", tree.text(p)[:20])]
    for path in scripts:
        done = subprocess.run(["bash", "-n", pathlib.Path(path)], cwd=tree.ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
