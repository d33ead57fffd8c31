"""Facts about layer types stand in their classes: no other file has tables or comparisons by type name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import netc
from tests.layers.case import TYPES

FORMATS = ("netc/layers", "netc/schema", "netc/errors", "netc/frontends/caffe", "netc/weights/caffemodel.py")
"""Layers themselves, and the names and numbers of types in Caffe's file formats."""


def type_facts(tree: ast.AST) -> Iterator[str]:
    """Collections of type names, and comparisons of a layer's type with a name."""
    for node in ast.walk(tree):
        names: list[object] = []
        if isinstance(node, ast.Set | ast.List | ast.Tuple):
            names = [item.value for item in node.elts if isinstance(item, ast.Constant)]
        elif isinstance(node, ast.Dict):
            names = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = list(node.value.split())
        if len(names) > 1 and all(name in TYPES for name in names):
            yield f"line {node.lineno}: {names}"
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "type":
            yield from (f"line {node.lineno}: {c.value}" for c in node.comparators if getattr(c, "value", "") in TYPES)


def test_tables_and_comparisons_are_found():
    assert len(list(type_facts(ast.parse('A = ("ReLU", "LRN")\nB = "LRN ReLU".split()\nlayer.type == "ReLU"')))) == 3
    assert not list(type_facts(ast.parse('A = ("ReLU", "x")\nB = "write a ReLU"\nlayer.type == other.type')))


def test_no_file_outside_holds_facts_by_type_name():
    root = Path(netc.__file__).parents[1]
    files = [(str(path.relative_to(root)), path) for path in Path(netc.__file__).parent.rglob("*.py")]
    found = {
        f"{name}, {fact}"
        for name, path in files
        if not name.startswith(FORMATS)
        for fact in type_facts(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()
