#!/usr/bin/env python3
"""Record every blob of a net with Caffe or OpenCV 4, for `netc verify dump.npz OTHER`.

usage: dump_blobs.py NET.prototxt W.caffemodel --input X.npy --output dump.npz [--with caffe|opencv]
       dump_blobs.py NET.prototxt W.caffemodel --input data=X.npy --input im_info=Y.npy --output dump.npz
       dump_blobs.py NET.prototxt W.caffemodel --input inputs.npz --output dump.npz

Requires NumPy and one of the two, but not netc: copy it to a machine that has them (OpenCV 5 no longer reads Caffe
nets). X.npy contains the first input of the net, (n, c, h, w) float32; for a net with several inputs pass each by name,
or a .npz with arrays by name. Blobs are stored under their names in the prototxt, with the value after the last layer
that writes them. The prototxt must be in Caffe 1.0's format (`netc upgrade`).
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]
FIRST = ""
"""The name of an array that is the first input of the net."""


def read_inputs(values: list[str]) -> Arrays:
    """The arrays of `--input` by the name of the input; see `FIRST`. Ends the process for contradictory options."""
    arrays: Arrays = {}
    for value in values:
        name, equals, path = value.partition("=") if not Path(value).is_file() else (FIRST, "", value)
        loaded = np.load(path if equals else value)
        named = {name if equals else FIRST: loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        if repeated := named.keys() & arrays.keys():
            sys.exit(f"input {repeated.pop() or value!r} is given twice: pass NAME=FILE for each")
        arrays.update(named)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def of_net(arrays: Arrays, names: list[str]) -> Arrays:
    """The arrays by the names of a net's inputs. Ends the process unless each input has one."""
    if FIRST in arrays and names:
        if names[0] in arrays:
            sys.exit(f"input {names[0]!r} is given twice")
        arrays = {names[0] if name == FIRST else name: array for name, array in arrays.items()}
    if arrays.keys() != set(names):
        sys.exit(f"the net has the inputs {', '.join(names)}; given: {', '.join(arrays)}")
    return arrays


def by_caffe(net_file: str, weights: str, given: Arrays) -> Arrays:
    """Every blob in Caffe after a forward pass."""
    import caffe

    net = caffe.Net(net_file, weights, caffe.TEST)
    arrays = of_net(given, list(net.inputs))
    for name, array in arrays.items():
        net.blobs[name].reshape(*array.shape)
    net.reshape()
    for name, array in arrays.items():
        net.blobs[name].data[...] = array
    net.forward()
    return {blob: held.data.copy() for blob, held in net.blobs.items()}


def by_opencv(net_file: str, weights: str, given: Arrays) -> Arrays:
    """The output of every layer, under the name of its first top; fusion is disabled to keep all layers."""
    import cv2

    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        sys.exit(f"OpenCV {cv2.__version__} cannot read Caffe nets: use OpenCV 4")
    net = cv2.dnn.readNetFromCaffe(net_file, weights)
    net.enableFusion(False)
    text = Path(net_file).read_text(encoding="utf-8")
    tops = first_tops(text)
    arrays = of_net(given, inputs(text) or ["data"])
    for name, array in arrays.items():
        net.setInput(array, name)
    names = [name for name in net.getLayerNames() if name in tops]
    values = {tops[name]: np.array(value) for name, value in zip(names, net.forward(names))}
    return {**arrays, **values}


def layers(text: str) -> list[str]:
    """The text of each layer, without comments."""
    return re.split(r"\blayer\s*\{", re.sub(r"#[^\n]*", "", text))[1:]


def values_of(text: str, field: str) -> list[str]:
    """The values of a field that is a string."""
    return re.findall(rf'\b{field}\s*:\s*["\']([^"\']*)', text)


def first_tops(text: str) -> dict[str, str]:
    """Layer names and their first tops, in order, parsed from the text.

    >>> first_tops('layer { name: "a" top: "x" } layer { name: "b" bottom: "x" top: "x" top: "y" }')
    {'a': 'x', 'b': 'x'}
    """
    found = ((values_of(block, "name"), values_of(block, "top")) for block in layers(text))
    return {names[0]: tops[0] for names, tops in found if names and tops}


def inputs(text: str) -> list[str]:
    """The names of a net's inputs: its `input` fields, and the tops of its Input layers.

    >>> inputs('input: "a" layer { type: "Input" top: "x" top: "y" } layer { type: "ReLU" bottom: "x" top: "z" }')
    ['a', 'x', 'y']
    """
    head = re.split(r"\blayer\s*\{", re.sub(r"#[^\n]*", "", text))[0]
    tops = (top for block in layers(text) if "Input" in values_of(block, "type") for top in values_of(block, "top"))
    return [*values_of(head, "input"), *tops]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Record every blob of a net, for `netc verify`.")
    parser.add_argument("net")
    parser.add_argument("weights")
    parser.add_argument("--input", required=True, action="append", metavar="FILE|NAME=FILE")
    parser.add_argument("--output", required=True)
    parser.add_argument("--with", dest="runner", choices=("caffe", "opencv"), default="caffe")
    given = parser.parse_args()
    run = by_caffe if given.runner == "caffe" else by_opencv
    np.savez(given.output, **run(given.net, given.weights, read_inputs(given.input)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
