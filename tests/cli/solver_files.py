"""A small solver in a folder, which a test may then spoil."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NET = """
name: "tiny"
layer { name: "digits" type: "Data" top: "data" top: "label" transform_param { scale: 0.00390625 }
        data_param { source: "db" batch_size: 8 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt"
test_iter: 2 test_interval: 5 test_initialization: false
base_lr: 0.1 momentum: 0.9 lr_policy: "fixed"
display: 2 max_iter: 6 snapshot: 4 snapshot_prefix: "snap"
random_seed: 3 solver_mode: CPU
"""


def write_solver(folder: Path, net: str = NET, solver: str = SOLVER, labels: int = 4) -> Path:
    """net.prototxt, solver.prototxt and a database of 20 records 1x5x6 with labels 0 to `labels` - 1."""
    from netc.data.tools.mnist_and_cifar import write_image_lmdb

    (folder / "net.prototxt").write_text(net)
    (folder / "solver.prototxt").write_text(solver)
    random = np.random.default_rng(5)
    images = random.integers(0, 255, (20, 1, 5, 6), dtype=np.uint8)
    write_image_lmdb(folder / "db", zip(images, (i % labels for i in range(20))))
    return folder / "solver.prototxt"
