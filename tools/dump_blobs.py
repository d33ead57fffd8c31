#!/usr/bin/env python3
"""Record every blob of a net with Caffe or OpenCV 4, for `netc verify dump.npz OTHER`.

usage: dump_blobs.py NET.prototxt W.caffemodel --input X.npy --output dump.npz [--with caffe|opencv]

Requires NumPy and one of the two, but not netc: copy it to a machine that has them (OpenCV 5 no longer reads Caffe
nets). X.npy contains the first input of the net, (n, c, h, w) float32. Blobs are stored under their names in the
prototxt, with the value after the last layer that writes them. The prototxt must be in Caffe 1.0's format (`netc
upgrade`).
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np


def by_caffe(net_file: str, weights: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """Every blob in Caffe after a forward pass."""
    import caffe

    net = caffe.Net(net_file, weights, caffe.TEST)
    name = net.inputs[0]
    net.blobs[name].reshape(*x.shape)
    net.blobs[name].data[...] = x
    net.forward()
    return {blob: held.data.copy() for blob, held in net.blobs.items()}


def by_opencv(net_file: str, weights: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """The output of every layer, under the name of its first top; fusion is disabled to keep all layers."""
    import cv2

    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        sys.exit(f"OpenCV {cv2.__version__} cannot read Caffe nets: use OpenCV 4")
    net = cv2.dnn.readNetFromCaffe(net_file, weights)
    net.enableFusion(False)
    tops = first_tops(Path(net_file).read_text(encoding="utf-8"))
    net.setInput(x)
    names = [name for name in net.getLayerNames() if name in tops]
    values = {tops[name]: np.array(value) for name, value in zip(names, net.forward(names))}
    inputs = [top for name, top in tops.items() if name not in names and top not in values]
    return {inputs[0] if inputs else "data": x, **values}


def first_tops(text: str) -> dict[str, str]:
    """Layer names and their first tops, in order, parsed from the text.

    >>> first_tops('layer { name: "a" top: "x" } layer { name: "b" bottom: "x" top: "x" top: "y" }')
    {'a': 'x', 'b': 'x'}
    """
    found = {}
    for block in re.split(r"\blayer\s*\{", re.sub(r"#[^\n]*", "", text))[1:]:
        name, top = (re.search(rf'\b{field}\s*:\s*["\']([^"\']*)', block) for field in ("name", "top"))
        if name and top:
            found[name[1]] = top[1]
    return found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Record every blob of a net, for `netc verify`.")
    parser.add_argument("net")
    parser.add_argument("weights")
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--with", dest="runner", choices=("caffe", "opencv"), default="caffe")
    given = parser.parse_args()
    run = by_caffe if given.runner == "caffe" else by_opencv
    blobs: dict[str, Any] = run(given.net, given.weights, np.load(given.input).astype(np.float32))
    np.savez(given.output, **blobs)


if __name__ == "__main__":
    main()
