# SPDX-License-Identifier: Apache-2.0
"""Makes helm/weft/README.md's table of values and helm/weft/values.schema.json out of values.yaml, whose comments
describe each key, and of the table of options in the project's README.md. Run it after a change of either."""
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/weft"
BEGIN, END = "<!-- values:begin -->\n", "<!-- values:end -->\n"
TEXT, LIST, MAP = {"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "object"}
# Kubernetes refuses other labels, and `--set …=true` makes a boolean.
TEXTS = {"type": "object", "additionalProperties": TEXT}
PORTS = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
# What the values themselves do not show.
TYPES = {
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.tag": {"type": "string", "not": {"const": "latest"}},
    "image.pullPolicy": {"enum": ["IfNotPresent", "Always", "Never"]},
    "image.pullSecrets": LIST,
    "extraCapabilities": {"type": "array", "items": {"type": "string", "pattern": "^[A-Z_]+$", "not": {"enum": ["ALL"]}}},
    "seccompProfile": {"type": "string", "pattern": "^[^/]"},
    "maxUnavailable": {"type": ["string", "integer"], "pattern": "^([1-9][0-9]?|100)%$", "minimum": 1},
    "terminationGracePeriodSeconds": {"type": "integer", "minimum": 1},
    "networkPolicy.dnsPorts": {**PORTS, "minItems": 1},  # a rule without any port lets everything out
    "networkPolicy.egressPorts": PORTS,
    "resources": {"type": "object", "additionalProperties": False,
                  "properties": {"requests": MAP, "limits": MAP, "claims": {"type": "array"}}},
    "env": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": TEXT}}},
    **{key: {"type": "array", "items": MAP} for key in ("tolerations", "volumes", "volumeMounts", "extraObjects")},
}
NAMED = ("annotations", "Annotations", "labels", "Labels", "nodeSelector")
FREE = (*NAMED, "affinity", "resources")


def options():
    """The schema of `config`: every option of weft, by the table that it prints itself."""
    table = (ROOT / "README.md").read_text().split("<!-- options:begin -->")[1].split("<!-- options:end -->")[0]
    schema = {"type": "object", "additionalProperties": False, "properties": {}}
    for line in table.splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if not (key := re.fullmatch(r"`([\w.]+)`", cells[0])):
            continue
        *section, name = key[1].split(".")
        at = schema
        if section:
            at = schema["properties"].setdefault(section[0], {"type": "object", "additionalProperties": False,
                                                              "properties": {}})
        at["properties"][name] = option(cells[3])
    return schema


def option(expected):
    if m := re.match(r"one of (.*)", expected):
        # YAML takes on and off for booleans; the chart gives weft the words
        return {"enum": m[1].split(", ") + ([True, False] if "off" in m[1].split(", ") else [])}
    if m := re.match(r"a number from (\d+) to (\d+)$", expected):
        if m[2] == "1":
            return {"type": "number", "minimum": 0, "maximum": 1}
        return {"type": "integer", "minimum": int(m[1]), "maximum": int(m[2])}
    if expected.startswith("true or false"):
        return {"type": "boolean"}
    if expected.startswith("a list of"):
        return LIST
    if expected.startswith("a map"):
        return {"type": ["object", "string"]}
    if m := re.match(r"a time from (\d+)ms to (\d+)s", expected):
        return time({"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}, int(m[1]), int(m[2]) * 1000)
    if m := re.match(r"whole seconds, .*, at most (\d+)h$", expected):
        return time({"s": 1, "m": 60, "h": 3600}, 0, int(m[1]) * 3600)
    return {"type": ["string", "integer"]} if expected.startswith("a size") else TEXT


def time(units, least, most):
    """What read_time() in agent/config_value.c takes: a whole number with a unit. Only zero can do without."""
    ways = [rf"0*({up_to(most // factor)})[ \t]*{unit}" for unit, factor in units.items()]
    if least:
        return {"type": "string", "pattern": pattern(ways), "not": {"pattern": r"^[ \t]*0+[^0-9]"}}
    return {"anyOf": [{"const": 0}, {"type": "string", "pattern": pattern(["0", *ways])}]}


def pattern(ways):
    return rf"^[ \t]*({'|'.join(ways)})[ \t]*$"


def up_to(most):
    """Matches the numbers from 0 to this one: those with fewer digits, those with a smaller digit somewhere, and it."""
    digits = str(most)
    ways = [f"[0-9]{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    for i, digit in enumerate(digits):
        if digit != "0":
            ways.append(f"{digits[:i]}[0-{int(digit) - 1}][0-9]{{{len(digits) - i - 1}}}")
    return "|".join([*ways, digits])


def schema_of(value, path=""):
    if path in TYPES:
        return TYPES[path]
    if path == "config":
        return options()
    if isinstance(value, dict):
        if path.split(".")[-1].endswith(NAMED):
            return TEXTS
        if path.split(".")[-1].endswith(FREE):
            return MAP
        return {"type": "object", "additionalProperties": False,
                "properties": {k: schema_of(v, f"{path}.{k}".strip(".")) for k, v in value.items()}}
    return {"type": {bool: "boolean", int: "integer", str: "string", list: "array"}[type(value)]}


def schema():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    made = schema_of(values)
    made["properties"]["global"] = MAP  # Helm's own
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **made}, indent=2) + "\n"


def rows():
    """[(key, default, description)] of values.yaml, in its order. A key without a comment of its own is a section."""
    path, comment, found = [], [], []
    for line in (CHART / "values.yaml").read_text().splitlines():
        if not line.strip():
            comment = []
            continue
        if m := re.match(r"\s*# ?(.*)", line):
            comment.append(m[1])
            continue
        m = re.match(r"( *)([\w/.-]+):(?: (.*))?$", line)
        if not m or line.lstrip().startswith("- "):
            continue
        depth = len(m[1]) // 2
        path = path[:depth] + [m[2]]
        if comment:
            found.append((".".join(path), (m[3] or "").strip(), " ".join(comment)))
        comment = []
    return found


def table():
    lines = ["| value | default | |", "|---|---|---|"]
    for key, default, what in rows():
        lines.append(f"| `{key}` | {f'`{default}`' if default else ''} | {what} |")
    return "\n".join(lines) + "\n"


def readme():
    text = (CHART / "README.md").read_text()
    return text.split(BEGIN)[0] + BEGIN + table() + END + text.split(END)[1]


if __name__ == "__main__":
    (CHART / "values.schema.json").write_text(schema())
    (CHART / "README.md").write_text(readme())
    sys.exit(0)
