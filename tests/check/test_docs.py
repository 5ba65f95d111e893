# SPDX-License-Identifier: Apache-2.0
"""What the documents name exists."""
import re

import tree

DOCS = ["README.md", "CONTRIBUTING.md", "agent/README.md", "bpf/README.md"]


def test_metrics_exist():
    sources = "".join(tree.text(p) for p in tree.files(".c", ".h", under="agent"))
    kernel = tree.text("include/weft/counters.h")
    missing = []
    for doc in DOCS:
        for name in re.findall(r"`weft_(\w+?)(?:_total)?(?:_?\*)?[`{]", tree.text(doc)):
            counted = name.startswith("kernel_") and f'"{name.removeprefix("kernel_")}' in kernel
            if not counted and f'"{name}' not in sources:
                missing.append(f"{doc}: weft_{name}")
    assert not missing, "\n".join(missing)


def test_links_and_paths_exist():
    missing = []
    for doc in DOCS:
        base = (tree.ROOT / doc).parent
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", tree.text(doc)):
            if not (base / target).exists():
                missing.append(f"{doc}: {target}")
        for target in re.findall(r"`((?:agent|bpf|deploy|include|tests)/[\w./-]*\w)`", tree.text(doc)):
            if not (tree.ROOT / target).exists():
                missing.append(f"{doc}: {target}")
    assert not missing, "\n".join(missing)
