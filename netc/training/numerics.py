"""Numerical settings of the device: precision of float32 products, deterministic algorithms."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import torch

from netc.training.log.events import Listener, LogNote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.training.solver.netc_options import NetcOptions

MATMUL = {"ieee": "highest", "tf32": "high", "bf16": "medium"}
"""torch.set_float32_matmul_precision's names."""
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def numerics(options: NetcOptions, listener: Listener) -> Iterator[None]:
    """Apply the options inside the context, and log the precision.

    cuDNN has no `bf16` mode for float32 tensors: its convolutions use TF32 then.
    """
    kept = (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        os.environ.get(WORKSPACE),
    )
    try:
        _set(options)
        listener(LogNote("netc:1", f"Precision of float32 products: {_precision(options)}"))
        yield
    finally:
        _restore(*kept)


def _set(options: NetcOptions) -> None:
    if options.precision:
        torch.set_float32_matmul_precision(MATMUL[options.precision])
        torch.backends.cudnn.allow_tf32 = options.precision != "ieee"
    if options.deterministic:
        os.environ.setdefault(WORKSPACE, ":4096:8")  # cuBLAS is deterministic only with workspaces of a fixed size
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True)


def _restore(matmul: str, allow_tf32: bool, benchmark: bool, deterministic: bool, workspace: str | None) -> None:
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = allow_tf32
    torch.backends.cudnn.benchmark = benchmark
    if deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports the compiler: seconds
        torch.use_deterministic_algorithms(deterministic)
    if workspace is None:
        os.environ.pop(WORKSPACE, None)


def _precision(options: NetcOptions) -> str:
    matmul = {name: key for key, name in MATMUL.items()}[torch.get_float32_matmul_precision()]
    convolution = "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
    chosen = "" if options.precision else " (PyTorch's default)"
    products = matmul if matmul == convolution else f"{matmul}, in convolutions {convolution}"
    mixed = f", mixed with {options.amp}" if options.amp else ""
    return f"{products}{chosen}{mixed}{', deterministic' if options.deterministic else ''}"
