"""Runs a net in any of its forms, and returns every value that the form exposes.

Values are known by the names of the net's graph (`conv1`, and `conv1.1` after an in-place layer): netc's own net has
them all, exported files have those of the layers that the passes left. A dump has the last value of each blob.
"""

from __future__ import annotations

import ast
import io
import tokenize
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from netc.compiler import TEST_STATE, StateChoice
from netc.conversion.models import Files, open_net
from netc.diagnostics import NetcError
from netc.ir.dims import Shape, known
from netc.passes.arrays import Array
from netc.weights.numpy_file import read_npz

if TYPE_CHECKING:
    from collections.abc import Mapping

Values = dict[str, Array]
"""By name, in the order they were computed."""


class Runner(Protocol):
    """One form of a net."""

    @property
    def inputs(self) -> Mapping[str, tuple[int, ...]]:
        """The inputs with their extents after the batch; empty for a dump."""

    @property
    def versions(self) -> bool:
        """Whether names distinguish versions of a blob."""

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """Every value that the form can show. Raises NetcError."""
        ...


def open_runner(
    path: str | Path,
    weights: Files = (),
    shapes: Mapping[str, Shape] | None = None,
    state: StateChoice = TEST_STATE,
) -> Runner:
    """The form of a net in a file, by its suffix: .onnx, .py, .npz, else a prototxt."""
    runners: dict[str, Any] = {".onnx": OnnxRunner, ".py": PythonRunner, ".npz": Dump}
    suffix = Path(path).suffix.lower()
    if suffix in runners:
        if not Path(path).is_file():
            raise NetcError(f"`{path}` does not exist", code="E001")
        made: Runner = runners[suffix](Path(path))
        return made
    return NetRunner(path, weights, shapes, state)


class NetRunner:
    """netc's own net."""

    versions = True

    def __init__(
        self, path: str | Path, weights: Files, shapes: Mapping[str, Shape] | None, state: StateChoice
    ) -> None:
        self.net = open_net(path, weights, shapes=shapes, state=state)
        graph = self.net.graph
        self.inputs = {graph.values[name].blob: tuple((graph.shape(name) or ())[1:]) for name in graph.inputs}
        self.fetches = tuple(top for node in graph.nodes for top in node.tops)

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """Every value of the graph."""
        missing = [name for name in self.inputs if name not in inputs]
        if missing:
            raise NetcError(f"input `{missing[0]}` is missing", code="E302", help="pass `--input`")
        tensors = [torch.from_numpy(np.array(inputs[name], np.float32)) for name in self.inputs]
        program = self.net.program(self.net.graph.inputs, self.fetches)
        with torch.no_grad():
            results = program(self.net, *tensors)
        return {name: tensor.numpy() for name, tensor in zip(self.fetches, results)}


class OnnxRunner:
    """A model that onnxruntime runs, with every inner value as an output."""

    versions = True

    def __init__(self, path: Path) -> None:
        import onnx
        import onnxruntime

        model = onnx.load(path)
        shown = {value.name for value in model.graph.output}
        self.names = [name for node in model.graph.node for name in node.output if name]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names if name not in shown)
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
        self.kinds = {one.name: _KINDS.get(one.type, "float32") for one in self.session.get_inputs()}
        self.inputs = {one.name: tuple(one.shape[1:]) for one in self.session.get_inputs()}

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """Every value of the model."""
        feeds = {name: np.asarray(_given(inputs, name)).astype(kind) for name, kind in self.kinds.items()}
        return dict(zip(self.names, self.session.run(self.names, feeds)))


_KINDS = {"tensor(float16)": "float16", "tensor(double)": "float64", "tensor(uint8)": "uint8"}


class PythonRunner:
    """A .py file that `netc convert` wrote; it is run, as importing it would."""

    versions = True

    def __init__(self, path: Path) -> None:
        self.values: Values = {}
        try:
            source = path.read_text(encoding="utf-8")
            tree = _Taps(_labels(source)).visit(ast.parse(source, str(path)))
        except (SyntaxError, ValueError, tokenize.TokenError) as error:
            raise NetcError(f"`{path}` is no .py that netc wrote: {error}", code="E402") from None
        module = types.ModuleType(path.stem)
        vars(module).update(__file__=str(path.resolve()), _show=self._show)
        exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), vars(module))
        if not hasattr(module, "load"):
            raise NetcError(f"`{path}` has no function `load()`: it is not one that netc wrote", code="E402")
        self.net = module.load()
        self.inputs: dict[str, tuple[int, ...]] = dict(_inputs(source))

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """The value of every line of `forward`."""
        self.values = {}
        kind = next((p.dtype for p in self.net.parameters()), torch.float32)
        with torch.no_grad():
            self.net(*(torch.from_numpy(np.array(_given(inputs, name))).to(kind) for name in self.inputs))
        return self.values

    def _show(self, names: str | tuple[str, ...], tensors: Any) -> None:
        listed = [names] if isinstance(names, str) else names
        for name, tensor in zip(listed, [tensors] if isinstance(names, str) else tensors):
            self.values[name] = tensor.float().numpy()


def _labels(source: str) -> dict[int, str | tuple[str, ...]]:
    """For each line with a comment of ours, the names of its values."""
    found: dict[int, str | tuple[str, ...]] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string.startswith(("# '", '# "', "# (")):
            label = ast.literal_eval("{" + token.string[2:] + "}")
            names = list(label.values() if isinstance(label, dict) else label)
            if len(names) == 1:  # several are in the constructor, where two layers made one module
                found[token.start[0]] = names[0]
    return found


def _inputs(source: str) -> list[tuple[str, tuple[int, ...]]]:
    """Names and extents of the inputs, from the comments at the head of `forward`."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string.startswith("# input "):
            label = ast.literal_eval("{" + token.string[len("# input ") :] + "}")
            found += [(name, shape[1:]) for name, shape in label.items()]
    return found


class _Taps(ast.NodeTransformer):
    """Inserts a call after every labeled line of `forward` that records its value."""

    def __init__(self, labels: Mapping[int, str | tuple[str, ...]]) -> None:
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
        call = ast.Call(
            ast.Name("_show", ast.Load()), [ast.parse(repr(self.labels[statement.lineno]), mode="eval").body, shown], []
        )
        return [ast.copy_location(ast.Expr(call), statement)]


class Dump:
    """Blobs that were recorded elsewhere, by name."""

    versions = False
    inputs: Mapping[str, tuple[int, ...]] = {}

    def __init__(self, path: Path) -> None:
        self.values = read_npz(path)

    def run(self, inputs: Mapping[str, Array]) -> Values:
        """The arrays of the file."""
        return self.values


def random_inputs(runner: Runner, batch: int, seed: int) -> Values:
    """Numbers around 0 for each input of a runner. Raises NetcError E802 for extents that are not known."""
    generator = np.random.default_rng(seed)
    made = {}
    for name, shape in runner.inputs.items():
        if not all(isinstance(extent, int) and known(extent) for extent in shape):
            raise NetcError(f"the shape of `{name}` is unknown", code="E802", help="pass `--shape` or `--input`")
        made[name] = generator.standard_normal((batch, *shape), dtype=np.float32)
    return made


def _given(inputs: Mapping[str, Array], name: str) -> Array:
    if name not in inputs:
        raise NetcError(f"input `{name}` is missing", code="E302", help="pass `--input`")
    return inputs[name]
