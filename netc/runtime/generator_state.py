"""The state of a torch generator as text."""

from __future__ import annotations

import base64

import torch
from torch import Tensor


def encoded(state: Tensor) -> str:
    """A generator's state (bytes in a uint8 tensor) as base64."""
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def decoded(text: str) -> Tensor:
    """The inverse of `encoded`."""
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
