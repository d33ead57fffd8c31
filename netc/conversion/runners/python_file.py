"""A .py file that `netc convert` wrote."""

from __future__ import annotations

import ast
import io
import tokenize
import types
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from netc.conversion.runners.runner import Values, Writers, engine_errors, given
from netc.diagnostics import NetcError
from netc.foreign import foreign_errors, words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from netc.exporters.symbolic_shapes import Extents
    from netc.passes.arrays import Array

KIND = "a .py file that netc wrote"
Names = tuple[str, ...]
Labels = dict[int, tuple[Names, Names]]
"""The layers and the values of each line with a comment of ours."""


class PythonRunner:
    """A .py file that `netc convert` wrote; it is run, as importing it would."""

    versions = True
    indices = frozenset[str]()
    blobs: Mapping[str, str] = {}

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: Values = {}
        with foreign_errors(path, KIND, "E402"):
            source = path.read_text(encoding="utf-8")
            labels = _labels(source)
            tree = _Taps({line: values for line, (_, values) in labels.items()}).visit(ast.parse(source, str(path)))
            self.net = self._loaded(ast.fix_missing_locations(tree))
            self.inputs: dict[str, Extents] = dict(_inputs(source))
        self.writers: Writers = {name: layers for layers, values in labels.values() for name in values}

    def _loaded(self, tree: ast.Module) -> torch.nn.Module:
        """The net of the file, with its weights. Raises NetcError E402 for a file that cannot be run."""
        module = types.ModuleType(self.path.stem)
        vars(module).update(__file__=str(self.path.resolve()), _show=self._show)
        try:
            exec(compile(tree, str(self.path), "exec"), vars(module))
            net = module.load() if hasattr(module, "load") else None
        except (Exception, SystemExit) as error:
            found = f"the net in `{self.path}` cannot be loaded"
            raise NetcError(found, code="E402", notes=[words(error)]) from error
        if not isinstance(net, torch.nn.Module):
            raise NetcError(f"`{self.path}` has no function `load()` that returns a net", code="E402")
        return net

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """The value of every line of `forward`."""
        self.values = {}
        kind = next((p.dtype for p in self.net.parameters()), torch.float32)
        arrays = [np.array(given(self, inputs, name)) for name in self.inputs]
        with torch.no_grad(), engine_errors(self.path, inputs):
            self.net(*(torch.from_numpy(array).to(kind) for array in arrays))
        return self.values

    def _show(self, names: Names, tensors: Any) -> None:
        for name, tensor in zip(names, [tensors] if isinstance(tensors, torch.Tensor) else tensors):
            self.values[name] = tensor.float().numpy()


def _comments(source: str, *starts: str) -> Iterator[tuple[int, str]]:
    """Line and text of each comment that begins with one of `starts`."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string.startswith(starts):
            yield token.start[0], token.string


def _labels(source: str) -> Labels:
    """The layers and values of each line with a comment of ours."""
    found: Labels = {}
    for line, comment in _comments(source, "# '", '# "', "# ("):
        label = ast.literal_eval("{" + comment[2:] + "}")
        pairs = list(label.items()) if isinstance(label, dict) else [(name, name) for name in label]
        if len(pairs) == 1:  # several are in the constructor, where two layers made one module
            found[line] = (_names(pairs[0][0]), _names(pairs[0][1]))
    return found


def _names(name: str | Names) -> Names:
    return name if isinstance(name, tuple) else (name,)


def _inputs(source: str) -> Iterator[tuple[str, Extents]]:
    """Names and extents of the inputs, from the comments at the head of `forward`."""
    for _, comment in _comments(source, "# input "):
        yield from ast.literal_eval("{" + comment[len("# input ") :] + "}").items()


class _Taps(ast.NodeTransformer):
    """Inserts a call after every labeled line of `forward` that records its values."""

    def __init__(self, labels: Mapping[int, Names]) -> None:
        self.labels = labels

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """`forward` with its taps; other functions as they are."""
        if node.name == "forward":
            node.body = [line for statement in node.body for line in (statement, *self._tap(statement))]
        return node

    def _tap(self, statement: ast.stmt) -> list[ast.stmt]:
        if not isinstance(statement, ast.Assign) or statement.lineno not in self.labels:
            return []
        shown = ast.parse(ast.unparse(statement.targets[0]), mode="eval").body
        names = ast.parse(repr(self.labels[statement.lineno]), mode="eval").body
        return [ast.copy_location(ast.Expr(ast.Call(ast.Name("_show", ast.Load()), [names, shown], [])), statement)]
