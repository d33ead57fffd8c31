"""netc compiles Caffe and Caffe2 network and solver definitions to PyTorch.

    import netc

    net = netc.load("deploy.prototxt", "weights.caffemodel")   # a torch.nn.Module
    probabilities = net(images)["prob"]

    for finding in netc.check("train_val.prototxt"):           # without importing torch
        print(finding.line, finding.message)

    print(netc.summary("deploy.prototxt"))                     # parameters, multiply-adds, memory
    netc.train("solver.prototxt")

Everything public is listed in `__all__`; what is not listed may change. Names are imported on first use, so that
reading and checking files never waits for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic, NetcError

if TYPE_CHECKING:
    from netc.compiler import load
    from netc.conversion.convert import convert
    from netc.inspection import check, summary
    from netc.rewriting import upgrade
    from netc.runtime.lower import Net
    from netc.training.caffe2.trainer import load_trainer
    from netc.training.run import train

__version__ = "0.1.0"

__all__ = [
    "Diagnostic",
    "Net",
    "NetcError",
    "__version__",
    "check",
    "convert",
    "load",
    "load_trainer",
    "summary",
    "train",
    "upgrade",
]

_HOME = {
    "Net": "netc.runtime.lower",
    "check": "netc.inspection",
    "convert": "netc.conversion.convert",
    "load": "netc.compiler",
    "load_trainer": "netc.training.caffe2.trainer",
    "summary": "netc.inspection",
    "train": "netc.training.run",
    "upgrade": "netc.rewriting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'netc' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME[name]), name)
    if not name.startswith("_"):
        globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
