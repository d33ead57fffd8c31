"""Caffe's interface for Python: `import netc.pycaffe as caffe`.

A facade without logic of its own: names and NumPy arrays over the node-by-node executor (netc.runtime.stepper).

net.py            Net
blob.py           Blob: data and diff as NumPy arrays
python_layer.py   Layer, the base of layers written in Python
mode.py           device, seed, phases
"""

from netc.layers import registry
from netc.pycaffe.blob import Blob, BlobVec
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
from netc.pycaffe.python_layer import Layer

__version__ = "1.0.0"
"""The version of Caffe whose interface this is."""

__all__ = [
    "TEST",
    "TRAIN",
    "Blob",
    "BlobVec",
    "Layer",
    "Net",
    "layer_type_list",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
    "set_solver_count",
    "solver_count",
    "solver_rank",
]


def layer_type_list() -> list[str]:
    """Every layer type, sorted."""
    return sorted(registry())
