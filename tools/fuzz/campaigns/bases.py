"""Valid files of every format, written once by netc, which campaigns damage."""

from __future__ import annotations

import contextlib
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fuzz.case import command_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

NET = """name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }
layer { name: "scale" type: "Scale" bottom: "norm" top: "norm" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "norm" top: "norm" }
layer { name: "fc" type: "InnerProduct" bottom: "norm" top: "fc"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
DATA = """type: "Data" transform_param { mean_file: "mean.binaryproto" }
  data_param { source: "db" batch_size: 4 backend: LMDB }"""
TRAIN = f"""name: "tiny"
layer {{ name: "data" top: "data" top: "label" {DATA} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
"""
SOURCES = {
    "image": """type: "ImageData" transform_param { mean_file: "mean.binaryproto" }
  image_data_param { source: "list.txt" root_folder: "images/" batch_size: 4 }""",
    "hdf5": """type: "HDF5Data" hdf5_data_param { source: "h5list.txt" batch_size: 4 }""",
    "window": """type: "WindowData" transform_param { crop_size: 6 }
  window_data_param { source: "windows.txt" batch_size: 4 fg_threshold: 0.5 fg_fraction: 0.5 }""",
}
"""Other data layers of the net."""
SOLVER = """net: "train.prototxt"
test_iter: 2
test_interval: 3
base_lr: 0.01
momentum: 0.9
lr_policy: "fixed"
max_iter: 6
display: 2
snapshot: 2
snapshot_prefix: "snap"
random_seed: 7
solver_mode: CPU
"""
COMMANDS = command_lines("""
    data images list.txt images/ db --check-size
    data mean db mean.binaryproto
    train --solver solver.prototxt
    train --solver hdf5_solver.prototxt
    convert net.prototxt --to caffe --output net_out.prototxt
    convert net.prototxt --to onnx --output net.onnx
    convert net.prototxt --to py --output net.py
    convert net.prototxt --to pt --output net.pt
    convert net.prototxt --to safetensors --output net.safetensors
    convert net.prototxt --to pt2 --output net.pt2
""")


@cache
def files() -> dict[str, bytes]:
    """Return sound files by their paths."""
    from netc.cli import main

    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        _write_sources(Path())
        for arguments in COMMANDS:
            with tempfile.TemporaryFile() as log:
                with _silent(log.fileno()):
                    status = main(arguments)
                if status:
                    log.seek(0)
                    raise RuntimeError(f"netc {' '.join(arguments)} failed:\n{log.read().decode()}")
        return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def _write_sources(root: Path) -> None:
    import cv2
    import h5py

    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    names = [f"{i}.{ending}" for i, ending in enumerate(("png", "jpg", "bmp", "png", "jpg", "png", "png", "png"))]
    for name in names:
        cv2.imwrite(str(root / "images" / name), rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    (root / "list.txt").write_text("".join(f"{name} {i % 3}\n" for i, name in enumerate(names)))
    (root / "windows.txt").write_text("# 0\nimages/0.png\n3\n8\n8\n2\n1 0.9 0 0 5 5\n2 0.2 1 1 6 6\n")
    (root / "net.prototxt").write_text(NET)
    (root / "train.prototxt").write_text(TRAIN)
    (root / "solver.prototxt").write_text(SOLVER)
    (root / "hdf5_solver.prototxt").write_text(SOLVER.replace('"snap"', '"hsnap"') + "snapshot_format: HDF5\n")
    with h5py.File(root / "data.h5", "w") as file:
        file["data"], file["label"] = rng.random((6, 3, 8, 8), dtype="f4"), np.zeros(6, "f4")
    (root / "h5list.txt").write_text("data.h5\n")
    np.savez(root / "inputs.npz", data=rng.random((2, 3, 8, 8), dtype="f4"))
    np.save(root / "input.npy", rng.random((2, 3, 8, 8), dtype="f4"))
    for kind, fields in SOURCES.items():
        (root / f"{kind}_train.prototxt").write_text(TRAIN.replace(DATA, fields))


@contextlib.contextmanager
def _silent(log: int) -> Iterator[None]:
    """Send what commands print to a file."""
    kept = os.dup(1), os.dup(2)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        for target, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, target)
            os.close(descriptor)
