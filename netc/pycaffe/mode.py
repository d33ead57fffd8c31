"""Which device nets run on, and what is random: Caffe's global state, for its Python interface alone."""

from __future__ import annotations

import torch

from netc.diagnostics import NetcError

TRAIN = 0
"""The training phase, as Caffe numbers it."""
TEST = 1
"""The test phase."""


class _Mode:
    gpu = False
    device = 0
    solvers = 1


def set_mode_cpu() -> None:
    """Run all nets on the CPU."""
    _Mode.gpu = False


def set_mode_gpu() -> None:
    """Run all nets on the GPU of `set_device`. Raises NetcError E310 where there is none."""
    _require(_Mode.device)
    _Mode.gpu = True


def set_device(number: int) -> None:
    """Choose the GPU, counted from 0. Raises NetcError E310 where there is none of that number."""
    _require(number)
    _Mode.device = number


def device() -> torch.device:
    """The device of the mode."""
    return torch.device("cuda", _Mode.device) if _Mode.gpu else torch.device("cpu")


def set_random_seed(seed: int) -> None:
    """From here on the same weights, dropout and random data on every run, on one device."""
    torch.manual_seed(seed)


def set_solver_count(count: int) -> None:
    """How many solvers train together; kept for `solver_count`, training on several devices is torchrun's."""
    _Mode.solvers = count


def solver_count() -> int:
    """How many solvers train together."""
    return _Mode.solvers


def solver_rank() -> int:
    """Which of the solvers this process is: its rank in torch.distributed, else 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def _require(number: int) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not 0 <= number < count:
        raise NetcError(f"there is no GPU {number}: torch sees {count or 'none'}", code="E310")
