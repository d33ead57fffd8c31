"""Runs layers that users write in Python: objects of a class that the net file names, on blobs of NumPy arrays.

Binding a graph's layers imports the modules that the file names, so a program or an option must allow it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from netc.diagnostics import NetcError
from netc.files import is_file, is_folder
from netc.ir.layer import Shapes, Weight, Weights
from netc.ir.layer_host import PythonCode, ReplacedCode
from netc.runtime.array_blobs import Blob
from netc.runtime.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    from netc.ir.dims import Shape
    from netc.ir.graph import Graph, Node
    from netc.runtime.array_blobs import BlobStorage

_CPU = torch.device("cpu")
_PHASES = {"TRAIN": 0, "TEST": 1}
"""Caffe's numbers of the phases."""


def bind_python_layers(graph: Graph, diagnose: bool = False) -> Graph:
    """The graph with an object of the named class in each Python layer.

    A layer in place of a well-known class is bound only if that class can be imported; otherwise it stays as it is.
    With `diagnose`, an exception in the code of a layer becomes NetcError E212 at the layer. Raises NetcError E211 for
    modules and classes that do not exist.
    """
    return graph.replace(nodes=tuple(_bound(node, _PHASES[graph.state.phase], diagnose) for node in graph.nodes))


def _bound(node: Node, phase: int, diagnose: bool) -> Node:
    layer = node.layer
    if isinstance(layer, ReplacedCode):
        layer = layer.original()
        if isinstance(layer, PythonCode) and not _exists(layer, node):
            return node
    if not isinstance(layer, PythonCode):
        return node
    instance = _class(layer, node)(None)
    instance.param_str, instance.phase = layer.param_str, phase
    return replace(node, layer=layer.hosted(PythonHost(instance, node if diagnose else None)))


def _exists(layer: PythonCode, node: Node) -> bool:
    """Whether the user has the class. Raises NetcError E211 for a module that exists but cannot be imported."""
    try:
        return hasattr(_module(layer, node), layer.class_name)
    except NetcError as error:
        cause = error.__cause__
        parts = layer.module_name.split(".")
        packages = [".".join(parts[: i + 1]) for i in range(len(parts))]
        if isinstance(cause, ModuleNotFoundError) and cause.name in packages:
            return False
        raise


def _class(layer: PythonCode, node: Node) -> Any:
    found = getattr(_module(layer, node), layer.class_name, None)
    if found is None:
        raise NetcError(
            f"Python module `{layer.module_name}` has no class `{layer.class_name}`", code="E211", span=node.span
        )
    return found


def _module(layer: PythonCode, node: Node) -> ModuleType:
    """Import the module of a layer, from the working directory or the folder of the net if Python does not find it."""
    try:
        if importlib.util.find_spec(layer.module_name.partition(".")[0]) is None:
            sys.path += _folders(layer.module_name, node)
        return importlib.import_module(layer.module_name)
    except Exception as error:  # whatever the module's own code raises
        raise _import_error(error, layer, node) from error


def _import_error(error: Exception, layer: PythonCode, node: Node) -> NetcError:
    message, help = f"cannot import Python module `{layer.module_name}`: {type(error).__name__}: {error}", None
    if isinstance(error, ModuleNotFoundError):
        message, help = f"cannot find Python module `{error.name}`", "add its directory to PYTHONPATH"
    note = f"layer `{node.name}` is class `{layer.class_name}` of module `{layer.module_name}`"
    return NetcError(message, code="E211", span=node.span, notes=[note], help=help)


def _folders(module: str, node: Node) -> list[str]:
    """The folders in which Caffe's users keep such files, if they have the module."""
    name = module.partition(".")[0]
    folders = [Path.cwd(), *([Path(node.origin.file).resolve().parent] if node.origin.file else [])]
    has = [folder for folder in folders if is_file(folder / f"{name}.py") or is_folder(folder / name)]
    return [str(folder) for folder in has if str(folder) not in sys.path]


class PythonHost:
    """Runs one object of a user's class, on blobs in CPU memory.

    With the `node` of the layer, its exceptions become NetcError E212.
    """

    def __init__(self, layer: Any, node: Node | None = None) -> None:
        self.layer, self.node = layer, node
        self._bottoms: list[Memory] = []
        self._tops: list[Memory] = []
        self._weights: list[Memory] = []
        self._own_blobs: list[Blob] = []
        """The blobs that `setup` added."""
        self._ready = False

    def shapes(self, bottoms: Shapes, tops: int) -> Shapes:
        """Shapes of the tops, from `reshape` (and from `setup` at the first call)."""
        self._bottoms = [_memory(shape) for shape in bottoms]
        return self._reshape(tops)

    def weights(self) -> Weights:
        """The blobs that `setup` added, with the values that it wrote."""
        return tuple(Weight(f"blob{i}", blob.shape, array=blob.data) for i, blob in enumerate(self._own_blobs))

    def run(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], tops: int) -> tuple[Tensor, ...]:
        """The tops; autograd computes their gradients with the object's `backward`."""
        apply: Callable[..., tuple[Tensor, ...]] = _HostFunction.apply
        return apply(self, tops, len(bottoms), *bottoms, *weights)

    def adopt(self, weights: Sequence[BlobStorage]) -> None:
        """Let the blobs that `setup` added be those of a net; the object may have kept them."""
        for blob, storage in zip(self._own_blobs, weights):
            blob.connect(storage)

    def forward(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Run `reshape` and `forward` on the blobs of a net."""
        with self._user_code("reshape"):
            self.layer.reshape(bottoms, tops)
        with self._user_code("forward"):
            self.layer.forward(bottoms, tops)

    def backward(self, tops: Sequence[Blob], needed: Sequence[bool], bottoms: Sequence[Blob]) -> None:
        """Run `backward` on the blobs of a net. A gradient of a weight stays as the object has left it."""
        with self._user_code("backward"):
            self.layer.backward(tops, list(needed), bottoms)

    def compute(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], tops: int) -> tuple[Tensor, ...]:
        """The tops, on the device of the first bottom."""
        with self._placed(bottoms, weights):
            self._reshape(tops)
            with self._user_code("forward"):
                self.layer.forward(_blobs(self._bottoms), _blobs(self._tops))
        device = bottoms[0].device if bottoms else _CPU
        return tuple(memory.values.tensor.clone().to(device) for memory in self._tops)

    def gradients(
        self,
        bottoms: Sequence[Tensor],
        weights: Sequence[Tensor],
        tops: Sequence[Tensor],
        diffs: Sequence[Tensor],
        needed: Sequence[bool],
    ) -> tuple[Tensor, ...]:
        """Gradients of the bottoms, zero for those not in `needed`, then of the weights."""
        with self._placed(bottoms, weights):
            for memory, top, diff in zip(self._tops, tops, diffs):
                memory.write(top.detach())
                memory.write_diff(diff)
            with self._user_code("backward"):
                self.layer.backward(_blobs(self._tops), list(needed), _blobs(self._bottoms))
        sources = (*bottoms, *weights)
        return tuple(m.diff.to(t.device) for m, t in zip((*self._bottoms, *self._weights), sources))

    @contextlib.contextmanager
    def _placed(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Iterator[None]:
        """Set up blobs of these tensors; while the object runs, its blobs are `weights`, with diffs of zero."""
        self._bottoms = [_memory_of(tensor) for tensor in bottoms]
        self._weights = [_memory_of(tensor) for tensor in weights]
        kept = [blob.connect(memory) for blob, memory in zip(self._own_blobs, self._weights)]
        try:
            yield
        finally:
            for blob, storage in zip(self._own_blobs, kept):
                blob.connect(storage)

    def _reshape(self, tops: int) -> Shapes:
        if len(self._tops) != tops:
            self._tops = [_memory((0,)) for _ in range(tops)]
        if not self._ready:
            with self._user_code("setup"):
                self.layer.setup(_blobs(self._bottoms), _blobs(self._tops))
            self._own_blobs = list(self.layer.blobs)
            self._ready = True
        with self._user_code("reshape"):
            self.layer.reshape(_blobs(self._bottoms), _blobs(self._tops))
        return tuple(memory.shape for memory in self._tops)

    @contextlib.contextmanager
    def _user_code(self, method: str) -> Iterator[None]:
        try:
            yield
        except NetcError:
            raise
        except Exception as error:
            if self.node is None:
                raise
            raise _code_error(error, method, self.node) from error


def _code_error(error: Exception, method: str, node: Node) -> NetcError:
    """E212 for an exception in the code of a layer, with the line that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    path, here = Path(frame.filename), Path.cwd()
    file = path.relative_to(here) if path.is_relative_to(here) else path
    return NetcError(
        f"`{method}` of layer `{node.name}` raised {type(error).__name__}: {error}",
        code="E212",
        span=node.span,
        notes=[f"{file}:{frame.lineno}: {frame.line}"],
    )


class _HostFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, host: PythonHost, tops: int, bottoms: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        results = host.compute(tensors[:bottoms], tensors[bottoms:], tops)
        ctx.host, ctx.bottoms, ctx.inputs = host, bottoms, len(tensors)
        ctx.save_for_backward(*tensors, *results)
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *diffs: Tensor) -> tuple[Tensor | None, ...]:
        saved, cut = ctx.saved_tensors, ctx.bottoms
        inputs, tops = saved[: ctx.inputs], saved[ctx.inputs :]
        needed = ctx.needs_input_grad[3:]
        gradients = ctx.host.gradients(inputs[:cut], inputs[cut:], tops, diffs, needed[:cut])
        return (None, None, None, *(g if want else None for g, want in zip(gradients, needed)))


def _memory(shape: Shape) -> Memory:
    return Memory(shape, 0.0, _CPU, torch.float32)


def _memory_of(tensor: Tensor) -> Memory:
    return Memory.over(tensor.detach().to(_CPU, torch.float32).contiguous())


def _blobs(memories: Sequence[Memory]) -> list[Blob]:
    return [Blob(memory) for memory in memories]
