"""Packages that only some features need: the extras of pyproject.toml."""

from __future__ import annotations

import importlib
from typing import Any

from netc.diagnostics import NetcError


def import_extra(module: str, extra: str, feature: str, package: str = "") -> Any:
    """The imported module of an optional package.

    `feature` is the subject of the message; `package` is the name to install, by default that of the module. Raises
    NetcError E633, which names the extra, where the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NetcError(
            f"{feature} needs the package `{package or module}`, which is not installed",
            code="E633",
            notes=[str(error)],
            help=f"install it: `pip install 'netc[{extra}]'`",
        ) from None
