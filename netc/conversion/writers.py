"""Writes the files of each format, one function per format."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from netc.compiler import file_weights
from netc.conversion.models import net_of
from netc.conversion.preprocess import Preprocess, PreprocessOptions
from netc.diagnostics import NetcError
from netc.weights import atomic_path, atomic_write, library_write, write_caffemodel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.exporters.input_stage import InputStage
    from netc.ir.graph import Graph
    from netc.runtime.lower import Net

Half = Literal["fp16", "bf16"]
DTYPES: dict[str | None, str] = {None: "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class ExportOptions:
    """How a net is converted."""

    fold: bool = False
    """Fold BatchNorm and Scale into the layers before them, and remove dropout."""
    half: Half | None = None
    """Weights, and what the model computes in."""
    input_stage: bool = False
    """ONNX and .py models take RGB images of bytes, (n, h, w, 3)."""
    scores: bool = False
    """Whether losses are replaced by the scores that they compute."""
    preprocessing: PreprocessOptions = field(default_factory=PreprocessOptions)
    """Settings of the preprocessing that override the files'."""
    dynamic: tuple[str, ...] = ("n",)
    """The axes of inputs that are free, by letter: n, h, w."""
    dialect: str | None = None
    """The fork of Caffe that `caffe` is written for; None for BVLC's."""


def _stage(found: Preprocess | None, options: ExportOptions) -> InputStage | None:
    if not options.input_stage or found is None:
        return None
    if found.order == "gray":
        raise NetcError("an input stage takes images of three channels, the net takes one channel", code="E802")
    return found.stage


def _tensors(model: Graph, opened: Net, options: ExportOptions) -> dict[str, Tensor]:
    """The state_dict: the net's own tensors where no pass changed them."""
    net = opened if model.nodes is opened.graph.nodes else net_of(model)
    kind = getattr(torch, DTYPES[options.half])
    return {name: tensor.detach().to(kind).contiguous() for name, tensor in net.state_dict().items()}


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, copied where they share memory, which a safetensors file cannot express."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        result[name] = tensor.clone() if tensor.numel() and tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return result


def write_safetensors(
    model: Graph, opened: Net, target: Path, options: ExportOptions, found: Preprocess | None
) -> tuple[Path, ...]:
    """Write the state_dict as safetensors."""
    _save_safetensors(_tensors(model, opened, options), target)
    return (target,)


def _save_safetensors(tensors: Mapping[str, Tensor], target: Path) -> None:
    """Write tensors. Raises NetcError E408."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic_path(target, _bytes(tensors)) as path:
        try:
            save_file(_unshared(tensors), path, metadata={"format": "pt"})
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def write_state_dict(
    model: Graph, opened: Net, target: Path, options: ExportOptions, found: Preprocess | None
) -> tuple[Path, ...]:
    """Write the state_dict with torch.save."""
    state = _tensors(model, opened, options)
    with library_write(target, _bytes(state)) as file:
        torch.save(state, file)
    return (target,)


def write_caffe_net(
    model: Graph, opened: Net, target: Path, options: ExportOptions, found: Preprocess | None
) -> tuple[Path, ...]:
    """Write a prototxt and its .caffemodel. Raises NetcError E801, E803."""
    if options.half is not None:
        raise NetcError("Caffe holds weights in float32 only", code="E803", help="leave `--half` out")
    return write_caffe(model, target, options.dialect)


def write_caffe(model: Graph, target: Path, dialect: str | None = None) -> tuple[Path, ...]:
    """Write a .prototxt and the .caffemodel next to it, for BVLC Caffe or a fork.

    Raises NetcError E801 for what that Caffe does not have, E806 for a dialect that does not exist.
    """
    from netc.conversion.caffe_target import target_of
    from netc.exporters.caffe import net_message
    from netc.frontends.writing import encode
    from netc.passes.split_batch_norm import split_batch_norm
    from netc.text import from_message

    written_for = target_of(dialect)
    if written_for.dialect != "nvidia":
        model = split_batch_norm(model)
    message = net_message(model, written_for)
    trained = target.with_suffix(".caffemodel")
    fork = written_for.dialect
    data = encode(message, fork) if fork else message.SerializeToString()
    with atomic_write(target) as file:
        file.write(from_message(message).encode("utf-8", "surrogateescape"))
        file.flush()
        write_caffemodel(trained, file_weights(model).with_blobs, data)  # both are replaced, or none
    return target, trained


def write_caffe2(
    model: Graph, opened: Net, target: Path, options: ExportOptions, found: Preprocess | None
) -> tuple[Path, ...]:
    """Write a predict net, and its init net next to it; as text if the name ends in `.pbtxt`.

    Raises NetcError E801, E803.
    """
    from netc.exporters.caffe2 import caffe2_model
    from netc.text import from_message

    if options.half is not None:
        raise NetcError("Caffe2's fillers hold float32", code="E803", help="leave `--half` out")
    made = caffe2_model(model)
    filled = target.with_name(init_name(target.name))
    is_text = target.suffix in (".pbtxt", ".prototxt", ".txt")
    text = from_message(made.predict_net).encode("utf-8", "surrogateescape") if is_text else None
    with atomic_write(target) as file:
        file.write(made.predict_net.SerializeToString() if text is None else text)
        file.flush()
        with atomic_write(filled) as init:  # both are replaced, or none
            init.write(made.init_net.SerializeToString())
    return target, filled


def init_name(name: str) -> str:
    """The name of the init net next to a predict net.

    >>> init_name("predict_net.pb"), init_name("squeezenet.pbtxt")
    ('init_net.pb', 'squeezenet_init.pb')
    """
    stem = name.rpartition(".")[0] or name
    return f"{stem.replace('predict', 'init')}.pb" if "predict" in stem else f"{stem}_init.pb"


def write_python(
    model: Graph, opened: Net, target: Path, options: ExportOptions, found: Preprocess | None
) -> tuple[Path, ...]:
    """Write a .py file and its weights. Raises NetcError E801."""
    from netc.exporters.python import source_of

    trained = target.with_suffix(".safetensors")
    dtype = DTYPES[options.half]
    text, state = source_of(model, trained.name, _stage(found, options), dtype, options.dynamic)
    kind = getattr(torch, dtype)
    tensors = {
        name: torch.from_numpy(np.require(array, requirements=["C", "W"])).to(kind) for name, array in state.items()
    }
    with atomic_write(target) as file:
        file.write(text.encode())
        file.flush()
        _save_safetensors(tensors, trained)  # both are replaced, or none
    return target, trained


def write_onnx(
    model: Graph, opened: Net, target: Path, options: ExportOptions, found: Preprocess | None
) -> tuple[Path, ...]:
    """Write an ONNX model. Raises NetcError E801, E803."""
    from netc.exporters.onnx import onnx_model

    if options.half == "bf16":
        raise NetcError("ONNX models are written in float32 or fp16", code="E803", help="use `--half fp16`")
    made = onnx_model(model, _stage(found, options), DTYPES[options.half], dynamic=options.dynamic)
    with atomic_write(target) as file:
        made.write(file)
    return (target,)


def write_pt2(
    model: Graph, opened: Net, target: Path, options: ExportOptions, found: Preprocess | None
) -> tuple[Path, ...]:
    """Write a program of torch.export. Raises NetcError E801."""
    from netc.conversion.exported_program import exported_program

    program = exported_program(model, DTYPES[options.half], options.dynamic)
    with library_write(target, _bytes(program.state_dict)) as file:
        torch.export.save(program, file)
    return (target,)
