"""A prototxt file -> Fields of its message, each value with its place in the text."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from netc.diagnostics import Report, Source
from netc.ir.fields import Fields
from netc.schema import Message, as_dict, defaults, descriptor
from netc.text import Message as MessageNode
from netc.text import Tree, parse, read_source, to_message


_SOLVER_ONLY = frozenset(
    ("net", "train_net", "test_net", "net_param", "train_net_param", "base_lr", "lr_policy", "max_iter")
)


def read(path: str | Path | Source) -> tuple[Fields, Report]:
    """NetParameter or SolverParameter, whichever the file's own fields speak of; see `is_solver`."""
    tree = _parse(path)
    solver = any(field.name in _SOLVER_ONLY for field in tree.root.fields)
    return _message(tree, "SolverParameter" if solver else "NetParameter")


def is_solver(fields: Fields) -> bool:
    """Whether `read` took a file for a solver."""
    return "layer" not in fields.defaults


def read_net(path: str | Path | Source) -> tuple[Fields, Report]:
    """NetParameter of a prototxt file, or of a Source in memory.

    The report holds warnings and type errors of single fields; what is left without these is in the Fields. Raises
    NetcError for a file that cannot be read and for text that has no structure.
    """
    return _message(_parse(path), "NetParameter")


def read_solver(path: str | Path | Source) -> tuple[Fields, Report]:
    """SolverParameter of a prototxt file, as `read_net`."""
    return _message(_parse(path), "SolverParameter")


def _parse(path: str | Path | Source) -> Tree:
    return parse(path if isinstance(path, Source) else read_source(path))


def _message(tree: Tree, name: str) -> tuple[Fields, Report]:
    message, diagnostics = to_message(tree, name)
    return fields_of(message, tree.root), Report(list(diagnostics))


def fields_of(message: Message, node: MessageNode | None = None) -> Fields:
    """A protobuf message as Fields; `node` is the text it was made from."""
    return _fields(message.DESCRIPTOR.full_name, as_dict(message), node)


def empty_fields(name: str) -> Fields:
    """A message with nothing set, by its name in the schema."""
    return _fields(name, {}, None)


def _fields(name: str, values: dict[str, Any], node: MessageNode | None) -> Fields:
    kinds = _message_fields(name)
    for field in kinds.keys() & values.keys():
        nodes = node.messages(field) if node else []
        values[field] = _nested(kinds[field], values[field], nodes)
    return Fields(values, defaults(name), lambda field: empty_fields(kinds[field]), _locate(node))


def _nested(name: str, value: Any, nodes: list[MessageNode]) -> Any:
    if isinstance(value, dict):
        return _fields(name, value, nodes[-1] if nodes else None)
    return [_fields(name, one, nodes[i] if i < len(nodes) else None) for i, one in enumerate(value)]


def _locate(node: MessageNode | None) -> Any:
    if node is None:
        return lambda field, index: None
    return lambda field, index: node.span_of(field, index) if field else node.span


@lru_cache(maxsize=None)
def _message_fields(name: str) -> Mapping[str, str]:
    """The message-typed fields of a message, with their types' names."""
    return {f.name: f.message_type.full_name for f in descriptor(name).fields if f.message_type is not None}
