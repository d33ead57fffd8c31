"""Caffe's global state for its Python interface: the device that nets run on, the seed, the number of solvers."""

from __future__ import annotations

import torch

from netc.diagnostics import NetcError, counted

TRAIN = 0
"""Caffe's number of the training phase."""
TEST = 1
"""Caffe's number of the test phase."""


class _Mode:
    gpu = False
    device = 0
    solvers = 1
    rank = 0
    multiprocess = False


def set_mode_cpu() -> None:
    """Run all nets on the CPU."""
    _Mode.gpu = False


def set_mode_gpu() -> None:
    """Run all nets on the GPU of `set_device`. Raises NetcError E310 if it does not exist."""
    _require(_Mode.device)
    _Mode.gpu = True


def set_device(number: int) -> None:
    """Choose the GPU, counted from 0. Raises NetcError E310 if it does not exist."""
    _require(number)
    _Mode.device = number


CPU = torch.device("cpu")


def device() -> torch.device:
    """The device of the mode."""
    return torch.device("cuda", _Mode.device) if _Mode.gpu else CPU


def set_random_seed(seed: int) -> None:
    """Make subsequent weights, dropout and random data reproducible on one device."""
    torch.manual_seed(seed)


def set_solver_count(count: int) -> None:
    """Set what `solver_count` returns; training on several devices is started with torchrun."""
    _Mode.solvers = count


def solver_count() -> int:
    """Number of solvers that train together."""
    return _Mode.solvers


def set_solver_rank(rank: int) -> None:
    """Set what `solver_rank` returns before torch.distributed is initialized."""
    _Mode.rank = rank


def solver_rank() -> int:
    """The rank of this process: in torch.distributed, or what `set_solver_rank` has set."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else _Mode.rank


def set_multiprocess(value: bool) -> None:
    """Accepted for Caffe's scripts, which set it where each device has a process; every process is one here."""
    _Mode.multiprocess = value


def _require(number: int) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not 0 <= number < count:
        raise NetcError(f"GPU {number} does not exist: torch finds {counted(count, 'GPU')}", code="E310")
