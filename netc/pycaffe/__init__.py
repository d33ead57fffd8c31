"""Caffe's interface for Python: `import netc.pycaffe as caffe`.

A facade without logic of its own: names and NumPy arrays over the node-by-node executor (netc.runtime.node_executor).

net.py            Net
blob.py           Blob: data and diff as NumPy arrays
python_layer.py   Layer, the base of layers written in Python
import_caffe.py   `import caffe` in the files of such layers
solver.py         get_solver, SGDSolver and the others
mode.py           device, seed, phases
glog.py           Caffe's log lines, on stderr
io.py             images and messages as arrays, Transformer
net_spec.py       nets written in Python
"""

from netc.layers import registry
from netc.pycaffe import io
from netc.pycaffe.glog import init_log, log
from netc.pycaffe.mode import (
    TEST,
    TRAIN,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_random_seed,
    set_solver_count,
    solver_count,
    solver_rank,
)
from netc.pycaffe.net import Net
from netc.pycaffe.net_spec import NetSpec, layers, params, to_proto
from netc.pycaffe.python_layer import Layer
from netc.pycaffe.solver import (
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
)
from netc.runtime.array_blobs import Blob, BlobVec

__version__ = "1.0.0"
"""The version of Caffe with this interface."""

__all__ = [
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "BlobVec",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "get_solver",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
    "set_solver_count",
    "solver_count",
    "solver_rank",
    "to_proto",
]


def layer_type_list() -> list[str]:
    """Every layer type, sorted."""
    return sorted(registry())
