"""Whether a net computes a rectifier in the memory of its bottom."""

from __future__ import annotations

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from netc.runtime.lower import Net


class _InPlace(TorchFunctionMode):
    found = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ == "relu":
            self.found = self.found or bool(args[1:] and args[1]) or bool((kwargs or {}).get("inplace"))
        return func(*args, **(kwargs or {}))


def overwritten(net: Net, x: np.ndarray) -> bool:
    """Whether `relu` is called in place."""
    with _InPlace() as mode:
        net(torch.from_numpy(x))
    return mode.found
