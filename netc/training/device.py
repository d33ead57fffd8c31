"""Which device a solver trains on."""

from __future__ import annotations

import torch

from netc.diagnostics import NetcError
from netc.training.events import Listener, Note, Warned
from netc.training.settings import SolverSettings


def choose_device(settings: SolverSettings, gpu: str | None, tell: Listener) -> torch.device:
    """The device that `--gpu` (an index, or `all`) or the solver's `solver_mode` and `device_id` ask for.

    A solver that asks for a GPU runs on the CPU, with a warning, where there is none; an explicit `gpu` that is not
    there is an error: NetcError E606.
    """
    if gpu or settings.solver_mode != "GPU":
        return device_of(gpu, tell)
    if torch.cuda.device_count() == 0:
        tell(Warned("the solver asks for a GPU, and there is none: training on the CPU"))
        return device_of(None, tell)
    return device_of(str(settings.device_id), tell)


def device_of(gpu: str | None, tell: Listener) -> torch.device:
    """The device that `--gpu` names: an index, `all`, or nothing for the CPU. Raises NetcError E606."""
    count = torch.cuda.device_count()
    if not gpu:
        tell(Note("caffe.cpp:197", "Use CPU."))
        return torch.device("cpu")
    index = _index(gpu, count)
    if index >= count:
        raise NetcError(f"there is no GPU {index}: {count} found", code="E606")
    tell(Note("caffe.cpp:204", f"Using GPUs {index}"))
    tell(Note("caffe.cpp:209", f"GPU {index}: {torch.cuda.get_device_name(index)}"))
    return torch.device("cuda", index)


def _index(gpu: str, count: int) -> int:
    if count == 0:
        raise NetcError(
            f"`--gpu {gpu}`: PyTorch finds no GPU on this machine",
            code="E606",
            help="leave `--gpu` out to train on the CPU",
        )
    if gpu == "all" and count == 1:
        return 0
    if not gpu.isdecimal():
        raise NetcError(f"`--gpu {gpu}`: one GPU is used, of {count} found: give its index", code="E606")
    return int(gpu)
