# SPDX-License-Identifier: Apache-2.0
"""A Bicep file as data, by tree-sitter's grammar of the language: what it declares, and the value of what is plain."""
import dataclasses
import re

import tree_sitter
import tree_sitter_bicep

LANGUAGE = tree_sitter.Language(tree_sitter_bicep.language())


class Expression(str):
    """What only a deployment knows: its text."""


@dataclasses.dataclass
class Declaration:
    name: str
    text: str
    decorators: dict
    kind: str = ""  # a type, of a resource with its version, or a module's file
    value: object = None
    existing: bool = False
    condition: str = ""


def text(node):
    return node.text.decode()


def walk(node):
    yield node
    for child in node.named_children:
        yield from walk(child)


def plain(node):
    """Python's value of a literal, or the text of what is none."""
    if node.type == "object":
        return {text(p.named_children[0]).strip("'"): plain(p.named_children[-1])
                for p in node.named_children if p.type == "object_property"}
    if node.type == "array":
        return [plain(c) for c in node.named_children if c.type != "comment"]
    if node.type == "string" and not any(c.type == "interpolation" for c in walk(node)):
        return text(node)[1:-1].replace("\\'", "'")
    if node.type == "number":
        return int(text(node))
    if node.type == "boolean":
        return text(node) == "true"
    if re.fullmatch(r"-\d+", text(node)):
        return int(text(node))
    return Expression(text(node))


class File:
    def __init__(self, path):
        self.path = path
        self.source = path.read_text()
        root = tree_sitter.Parser(LANGUAGE).parse(self.source.encode()).root_node
        self.errors = [f"{path.name}:{n.start_point[0] + 1}: {text(n)[:60]}" for n in all_nodes(root)
                       if n.type == "ERROR" or n.is_missing]
        self.params, self.variables, self.resources, self.modules, self.outputs = {}, {}, {}, {}, {}
        self.calls = [text(n) for n in walk(root) if n.type == "call_expression"]
        decorators = {}
        for node in root.named_children:
            if node.type == "decorators":
                decorators = dict(self.decorator(d) for d in node.named_children)
                continue
            self.declare(node, decorators)
            if node.type != "comment":
                decorators = {}

    @staticmethod
    def decorator(node):
        call = node.named_children[0]
        arguments = [plain(a) for a in call.named_children[-1].named_children]
        return text(call.named_children[0]), arguments[0] if arguments else True

    def declare(self, node, decorators):
        parts = [c for c in node.named_children if c.type != "comment"]
        where = {"parameter_declaration": self.params, "variable_declaration": self.variables,
                 "resource_declaration": self.resources, "module_declaration": self.modules,
                 "output_declaration": self.outputs}.get(node.type)
        if where is None:
            return
        found = Declaration(text(parts[0]), text(node), decorators)
        body = parts[-1] if len(parts) > 1 else None
        if node.type != "variable_declaration":
            found.kind = text(parts[1]).strip("'")
        if node.type in ("resource_declaration", "module_declaration"):
            found.existing = re.match(r"resource \w+ '[^']*' existing\b", found.text) is not None
            if body.type == "if_statement":
                found.condition = text(body.named_children[0])
                body = body.named_children[-1]
            found.value = plain(body)
        elif node.type != "parameter_declaration" or len(parts) > 2:
            found.value = plain(body)
        where[found.name] = found

    def uses(self, name):
        """How often a name stands anywhere but where it is declared."""
        return len(re.findall(rf"(?<![\w'.]){name}(?![\w:'])|(?<=: ){name}\b", self.source)) - 1


def all_nodes(node):
    yield node
    for child in node.children:
        yield from all_nodes(child)
