# SPDX-License-Identifier: Apache-2.0
"""Data moves one way, and so do includes: a stage knows core/ and the stages before it."""
import re

import tree

STAGES = ["core", "capture", "conn", "proto", "span", "trace", "enrich", "export", "self"]

# Who may look ahead, and why.
AHEAD = {
    ("conn", "proto"): "connections drive the parsers through their contract",
}
# Who may look back less far than its place allows, and why.
ONLY = {
    "core": ({"core"}, "everything stands on core"),
    "proto": ({"core", "proto"}, "a parser is a pure function of bytes: it knows no socket"),
}


def includes(path):
    """Line number and name of what a file includes from the project."""
    for number, line in enumerate(tree.text(path).splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if found:
            yield number, found.group(1)


def stage_of(name):
    """The stage that an include names, None for the wiring (agent.h, config.h), "" for others."""
    if name.startswith("weft/") or ".skel.h" in name or ".pb-c.h" in name:
        return ""
    return name.split("/")[0] if "/" in name else None


def allowed(stage, other):
    if (stage, other) in AHEAD:
        return True
    if stage in ONLY:
        return other in ONLY[stage][0]
    return other in STAGES and STAGES.index(other) <= STAGES.index(stage)


def stage_includes():
    for path in tree.files(".c", ".h", under="agent"):
        if len(path.parts) < 3:
            continue  # agent.c, config.c and main.c are the wiring
        for number, name in includes(path):
            yield path, path.parts[1], number, name


def test_stages_include_only_what_comes_before_them():
    wrong = []
    for path, stage, number, name in stage_includes():
        other = stage_of(name)
        if other == "":
            continue
        if stage == "self" and other is None:
            continue  # doctor and the status line report on the configuration
        if other is None or not allowed(stage, other):
            wrong.append(f"{path}:{number}: {name}")
    assert not wrong, "\n".join(wrong)


def test_every_stage_is_known():
    rooms = {p.parts[1] for p in tree.files(".c", ".h", under="agent") if len(p.parts) > 2}
    assert rooms <= set(STAGES)


def test_every_exception_is_used():
    used = {(stage, stage_of(name)) for _, stage, _, name in stage_includes()}
    assert set(AHEAD) <= used


def test_includes_are_written_from_the_top():
    wrong = [f"{path}:{number}: {name}" for path, _, number, name in stage_includes() if ".." in name]
    assert not wrong, "\n".join(wrong)


def test_shared_headers_include_only_each_other():
    wrong = []
    for path in tree.files(".h", under="include"):
        for number, name in includes(path):
            if not (tree.ROOT / "include/weft" / name.removeprefix("weft/")).exists():
                wrong.append(f"{path}:{number}: {name}")
    assert not wrong, "\n".join(wrong)


def test_kernel_side_includes_nothing_of_the_agent():
    wrong = []
    for path in tree.files(".c", ".h", under="bpf"):
        for number, name in includes(path):
            if not ((tree.ROOT / "bpf" / name).exists() or name.startswith("weft/")):
                wrong.append(f"{path}:{number}: {name}")
    assert not wrong, "\n".join(wrong)
