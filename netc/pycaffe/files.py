"""Reads the weights of a net."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from netc.compiler import copy_weights, issue_warnings
from netc.runtime.net_weights import unused

if TYPE_CHECKING:
    from netc.runtime.lower import Net

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""The path of a file, as `os.fsdecode` takes it."""


def copy_from(net: Net, path: Path, stacklevel: int) -> None:
    """Copy the weights of a file of any format (`weights.read_any`) into the layers of the same name.

    A file that fits no layer causes a NetcWarning, W411; `stacklevel` is that of the caller. Raises NetcError E306 for
    blobs of other shapes, E401 to E406 for a file that is not a weights file.
    """
    warning = unused(copy_weights(net, os.fsdecode(path)), os.fsdecode(path))
    issue_warnings([warning] if warning else [], stacklevel + 2)
