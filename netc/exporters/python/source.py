"""The text of a .py file, and the tensors that belong to it."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor, nn

from netc.diagnostics import NetcError
from netc.exporters.errors import cannot_export, known_shape, unsupported
from netc.exporters.python import functions
from netc.exporters.python.names import Identifiers
from netc.exporters.python.rules import RULES, Array, Code, PythonCall, stock_module
from netc.exporters.python.traced import traced_layer
from netc.exporters.symbolic_shapes import BATCH, FixedExtentError, SymbolicShapes, with_free_extents
from netc.ir.fusion import Step, steps

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from netc.exporters.input_stage import InputStage
    from netc.ir.graph import Graph

_TAKEN = (
    "torch",
    "F",
    "nn",
    "Tensor",
    "Path",
    "Net",
    "Pair",
    "load",
    "load_file",
    "self",
    "x",
    "images",
    "HERE",
    "NAME",
)
_FUNCTIONS = tuple(name for name, value in vars(functions).items() if inspect.isfunction(value))


@dataclass
class _File:
    """What is written, by part."""

    graph: Graph
    symbolic: SymbolicShapes
    dtype: str
    modules: list[str] = field(default_factory=list)
    forward: list[str] = field(default_factory=list)
    functions: dict[str, None] = field(default_factory=dict)
    state: dict[str, Array] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    """Variables of the net's inputs."""
    traced: dict[tuple[str, ...], str] = field(default_factory=dict)
    """Functions of traced layers: parameters and body, and the name."""

    def __post_init__(self) -> None:
        self.attributes = Identifiers([*dir(nn.Module()), "prepare", "input_mean"])
        self.names = Identifiers([*_TAKEN, *_FUNCTIONS])
        self.variables: dict[str, str] = {}
        self.steps = list(steps(self.graph))
        self.last_use = {name: step for step in self.steps for name in step.node.bottoms}

    def apart(self, step: Step) -> list[Step]:
        """A step's two layers as two steps."""
        parts = [Step(node) for node in step.nodes]
        for part in parts:
            for name in part.node.bottoms:
                if self.last_use.get(name, step) is step or self.last_use[name] in parts:
                    self.last_use[name] = part
        return parts

    def function(self, like: str, lines: Sequence[str]) -> str:
        """The name of a function with these parameters and this body."""
        key = tuple(lines)
        if key not in self.traced:
            self.traced[key] = self.names.make(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", like).lower(), "traced")
        return self.traced[key]

    def constant(self, tensor: Tensor) -> str:
        """A buffer."""
        name = self.attributes.make("constant")
        kind = "" if tensor.is_floating_point() else f", dtype={tensor.dtype}"
        self.modules.append(f"self.register_buffer({name!r}, torch.empty({tuple(tensor.shape)}{kind}))")
        self.state[name] = tensor.detach().numpy()
        return f"self.{name}"


def source_of(
    graph: Graph,
    weights: str,
    stage: InputStage | None = None,
    dtype: str = "float32",
    dynamic: Collection[str] = ("n",),
) -> tuple[str, dict[str, Array]]:
    """The text, and the tensors to be written to the file `weights` beside it, by name.

    `graph` has inputs and shapes, and its parameters have arrays. `dtype` is torch's name of what the net computes in;
    `dynamic` are the axes that may be free (see `symbolic_shapes.AXES`). With a `stage` the class has a method that
    makes its input from RGB images. Raises NetcError E801, E802 for layers that have no form in plain torch.
    """
    return with_free_extents(graph, lambda symbolic: _written(_File(graph, symbolic, dtype), weights, stage), dynamic)


def _written(file: _File, weights: str, stage: InputStage | None) -> tuple[str, dict[str, Array]]:
    graph = file.graph
    for name in graph.inputs:
        known_shape(graph, name, free=1)
        file.variables[name] = file.names.make(graph.values[name].blob, "input")
    file.inputs = [file.variables[name] for name in graph.inputs]
    for step in file.steps:
        _write(file, step)
    if stage is not None and stage.plain_mean is None:
        file.state["input_mean"] = stage.mean
    body = [*_class(file, stage), *_tail(file.dtype)]
    return "\n".join([*_head(file, weights, body), *body]) + "\n", file.state


def _write(file: _File, step: Step) -> None:
    """Add one step: a line in the constructor where it has tensors or a module, and one in forward."""
    label, layers = label_of(step), ", ".join(repr(node.name) for node in step.nodes)
    attribute = file.attributes.make(step.node.name)
    loose = _loose(file, step, attribute)
    try:
        code = _code(file, step, attribute, [name for name, _, _ in loose])
    except _ApartError:
        for part in file.apart(step):
            _write(file, part)
        return
    blobs = tuple(blob for node in step.nodes for blob in file.graph.arrays(node))
    if code.module:
        file.modules.append(f"self.{attribute} = {code.module}  # {layers}")
        file.state.update({f"{attribute}.{name}": array for name, array in _state(file, step, code, blobs).items()})
    else:
        for name, learnable, array in loose:
            kind = "" if array.dtype.kind == "f" else f", dtype=torch.{array.dtype.name}"
            empty = f"torch.empty({array.shape}{kind})"
            made = f"self.{name} = nn.Parameter({empty})" if learnable else f"self.register_buffer({name!r}, {empty})"
            file.modules.append(f"{made}  # {layers}")
            file.state[name] = array
    file.functions.update(dict.fromkeys(code.functions))
    if code.is_held:
        file.variables[step.tops[0]] = code.expression
    elif code.expression:
        file.forward.append(f"{_targets(file, step)} = {code.expression}  # {label}")


def label_of(step: Step) -> str:
    """The comment of a line: the layer's name, and the names of its values where they differ.

    In braces it is a literal: a set of one name, or a dictionary from layers to values.
    """
    names = tuple(node.name for node in step.nodes)
    layers = names[0] if len(names) == 1 else names
    values = step.tops[0] if len(step.tops) == 1 else step.tops
    return repr(layers) if layers == values else f"{layers!r}: {values!r}"


def _code(file: _File, step: Step, attribute: str, loose: list[str]) -> Code:
    node, graph = step.node, file.graph
    if any(graph.shape(name) is None for name in node.bottoms):
        raise cannot_export(node, "a .py file", "the number of axes of its bottom is unknown")
    known = [known_shape(graph, name, free=1) for name in node.bottoms]
    call = PythonCall(
        bottoms=tuple(file.variables[name] for name in node.bottoms),
        shapes=tuple(known),
        tops=len(node.tops),
        module=f"self.{attribute}",
        weights=tuple(f"self.{name}" for name in loose),
        scope=file,
        absorbed=None if step.absorbed is None else step.absorbed.layer,
        weight_names=tuple(weight.name for weight in graph.weights(node)),
        sample=file.symbolic.sample_shapes(node.bottoms),
        free=tuple(map(file.symbolic.free_axes, node.bottoms)),
        dtypes=tuple(graph.values[name].dtype for name in node.bottoms),
        dtype=file.dtype,
    )
    try:
        return _by_rule(file, step, call)
    except NetcError as error:
        reasons = [found.message for found in error.diagnostics]
    if step.absorbed is not None:
        raise _ApartError
    try:
        return traced_layer(node.layer, call)
    except NetcError as error:
        if any(call.free):  # the layer may have a form for fixed extents
            raise FixedExtentError from None
        raise cannot_export(node, "a .py file", *reasons, *(d.message for d in error.diagnostics)) from None


class _ApartError(Exception):
    """Two layers that are computed together have no rule for both: each is written on its own."""


def _by_rule(file: _File, step: Step, call: PythonCall) -> Code:
    rule = stock_module(step.node.layer, call) or RULES.rule_for(step.node.layer)
    if rule is None:
        unsupported("it has no rule of its own")
    beyond = any(set(file.symbolic.free_axes(name)) - {0} for name in (*step.node.bottoms, *step.tops))
    if beyond and rule is RULES.rule_for(step.node.layer) and not RULES.takes_any_extents(step.node.layer):
        unsupported("an extent beyond the first axis is free")
    return rule(step.node.layer, call)


def _state(file: _File, step: Step, code: Code, blobs: tuple[Array, ...]) -> Mapping[str, Array]:
    """The tensors of a step's module."""
    if code.state is not None:
        return code.state(blobs)
    weights = file.graph.weights(step.node)
    return {weight.name: blob.reshape(weight.module_shape) for weight, blob in zip(weights, blobs)}


def _loose(file: _File, step: Step, attribute: str) -> list[tuple[str, bool, Array]]:
    """Attribute, whether it learns, and value of each blob, for a step that makes no module."""
    return [
        (file.attributes.make(f"{attribute}_{weight.name}"), weight.learnable, blob.reshape(weight.module_shape))
        for node in step.nodes
        for weight, blob in zip(file.graph.weights(node), file.graph.arrays(node))
    ]


def _targets(file: _File, step: Step) -> str:
    """Variables of the tops; one top takes the variable of a bottom that is not read again, as is usual."""
    graph = file.graph
    dying = [
        file.variables[name]
        for name in step.node.bottoms
        if file.last_use[name] is step
        and name not in graph.inputs
        and name not in graph.outputs
        and not file.variables[name].startswith("self.")
    ]
    for top in step.tops:
        free = "x" not in file.variables.values() or "x" in dying
        if len(step.tops) == 1 and dying:
            file.variables[top] = dying[0]
        elif free and len(step.tops) == 1:
            file.variables[top] = "x"
        else:
            file.variables[top] = file.names.make(graph.values[top].blob, "blob")
    for name in step.node.bottoms:
        if file.last_use[name] is step and name not in graph.outputs:
            file.variables[name] = ""
    return ", ".join(file.variables[top] for top in step.tops)


def _head(file: _File, weights: str, body: list[str]) -> list[str]:
    copied = [inspect.getsource(getattr(functions, name)).rstrip() for name in _FUNCTIONS if name in file.functions]
    code = "\n".join([*copied, *(line for text in file.traced for line in text), *body])
    lines = [
        '"""A Caffe net in plain PyTorch, written by netc.',
        "",
        "`load()` returns it with its weights, in eval(). The comments hold the names of the layers in the Caffe file.",
        '"""',
        "",
        "from pathlib import Path",
        "",
        *["import torch"] * ("torch." in code),
        *["import torch.nn.functional as F"] * ("F." in code),
        "from safetensors.torch import load_file",
        "from torch import Tensor, nn",
        "",
        f"NAME = {file.graph.name!r}",
        f"HERE = Path(__file__).parent / {weights!r}",
        "",
        *["Pair = tuple[int, int]", ""] * ("Pair" in code),
    ]
    defined = [f"def {name}" + "\n".join(text) for text, name in file.traced.items()]
    return lines + [line for source in [*copied, *defined] for line in ("", *source.split("\n"), "")]


def _class(file: _File, stage: InputStage | None) -> list[str]:
    graph = file.graph
    inputs = ", ".join(f"{name}: Tensor" for name in file.inputs)
    outputs = [(graph.values[name].blob, file.variables[name]) for name in graph.outputs]
    single = len(outputs) == 1
    result = outputs[0][1] if single else "{" + ", ".join(f"{name!r}: {value}" for name, value in outputs) + "}"
    shapes = [f"{graph.values[name].blob!r}: {_extents(file, name)!r}" for name in graph.inputs]
    lines = [
        "",
        "class Net(nn.Module):",
        '    """The net: see `forward`."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *(f"        {line}" for line in file.modules + _mean(stage)),
        "",
        f"    def forward(self, {inputs}) -> {'Tensor' if single else 'dict[str, Tensor]'}:",
        *(f"        # input {shape}" for shape in shapes),
        *(f"        {line}" for line in file.forward),
        f"        return {result}",
        "",
    ]
    return lines + (_prepare(stage) if stage else [])


def _extents(file: _File, name: str) -> tuple[int | str, ...]:
    """An input's extents as the comment shows them."""
    shape = known_shape(file.graph, name, free=1)
    return tuple("n" if extent == BATCH else extent for extent in file.symbolic.extents[name] or shape)


def _mean(stage: InputStage | None) -> list[str]:
    if stage is None or stage.plain_mean is not None:
        return []
    return [f'self.register_buffer("input_mean", torch.empty({stage.mean.shape}))']


def _prepare(stage: InputStage) -> list[str]:
    """The method that makes the input from images."""
    plain = stage.plain_mean
    mean = "self.input_mean" if plain is None else f"torch.tensor({plain}, device=images.device).view(-1, 1, 1)"
    order = ".flip(3)" if stage.bgr else ""
    first = "blue" if stage.bgr else "red"
    scale = "" if stage.scale == 1 else f" * {float(stage.scale)!r}"
    return [
        "    def prepare(self, images: Tensor) -> Tensor:",
        f'        """The net input, {first} first, from images (n, h, w, 3): red, green, blue from 0 to 255."""',
        f"        x = images{order}.permute(0, 3, 1, 2).float()",
        f"        x = (x - {mean}){scale}",
        "        return x.to(next(self.parameters()).dtype)",
        "",
    ]


def _tail(dtype: str) -> list[str]:
    cast = "" if dtype == "float32" else f".to(torch.{dtype})"
    return [
        "",
        "def load(path: str | Path = HERE) -> Net:",
        '    """The net with the weights of a safetensors file, in eval()."""',
        f"    net = Net(){cast}",
        "    net.load_state_dict(load_file(path))",
        "    return net.eval()",
    ]
