"""Weights of a net in files."""

from __future__ import annotations

import os
from typing import Any

from netc.runtime.lower import Net

Path = str | os.PathLike[str]


def copy_from(net: Net, path: Path) -> None:
    """Take the weights of a file, layer by layer, by name. Raises NetcError."""
    from netc.compiler import copy_weights

    copy_weights(net, os.fspath(path))
