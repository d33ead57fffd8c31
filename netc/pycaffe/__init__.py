"""Caffe's interface for Python: `import netc.pycaffe as caffe`.

A facade without logic of its own: names and NumPy arrays over the node-by-node executor (netc.runtime.node_executor).

net.py            Net
blob.py           Blob: data and diff as NumPy arrays
python_layer.py   Layer, the base of layers written in Python
import_caffe.py   `import caffe`: in the files of such layers, in scripts, in a whole process
site.py           `import caffe` in an environment
solver.py         get_solver, SGDSolver and the others
nccl.py           training by several processes
mode.py           device, seed, phases
timer.py          Timer
glog.py           Caffe's log lines, on stderr
io.py             images and messages as arrays, Transformer
resize.py         resizes images
classifier.py     Classifier
classify_files.py  what Caffe's classify.py computes
detector.py       Detector
net_spec.py       nets written in Python
coord_map.py      coordinates between the tops of such nets
draw.py           nets as images
proto/            caffe_pb2
_caffe.py, pycaffe.py   the names of Caffe's modules that are called so
"""

from netc.layers import registry
from netc.pycaffe import io, proto
from netc.pycaffe.classifier import Classifier
from netc.pycaffe.detector import Detector
from netc.pycaffe.glog import init_log, log
from netc.pycaffe.import_caffe import install
from netc.pycaffe.mode import (
    TEST,
    TRAIN,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    set_multiprocess,
    set_random_seed,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from netc.pycaffe.nccl import NCCL, has_nccl
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
from netc.pycaffe.timer import Timer
from netc.runtime.array_blobs import Blob, BlobVec

__version__ = "1.0.0"
"""The version of Caffe with this interface."""

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "BlobVec",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "SGDSolver",
    "Timer",
    "get_solver",
    "has_nccl",
    "init_log",
    "install",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]


def layer_type_list() -> list[str]:
    """Every layer type, sorted."""
    return sorted(registry())
