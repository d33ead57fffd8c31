"""Every net that runs is exported in every format, with Caffe's own numbers."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from netc.conversion.convert import convert
from netc.conversion.formats import FORMATS
from netc.conversion.models import open_net
from netc.conversion.runners import open_runner
from netc.passes.drop_losses import drop_losses
from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel

REFERENCE = Path(__file__).parent.parent / "reference" / "layers"
NETS = sorted(path.parent.name for path in REFERENCE.glob("*/net.prototxt"))
STEP = 1 if "NETC_ALL_MODELS" in os.environ else 5
"""Formats that take a second for a net are tested with every fifth."""
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def weights(name, target):
    """The recorded parameters of a net as a file; None for a net without any."""
    layers: dict[str, list[BlobArray]] = {}
    with np.load(REFERENCE / name / "vectors.npz") as vectors:
        recorded = sorted(key for key in vectors.files if key.startswith("param/"))
        for key in recorded:
            layer = key.split("/", 1)[1].rpartition("/")[0]
            layers.setdefault(layer, []).append(BlobArray(vectors[key]))
    if not layers:
        return None
    write_caffemodel(target, Weights(tuple(LayerBlobs(n, "", tuple(b)) for n, b in layers.items())).with_blobs)
    return target


def results(files, inputs):
    """The outputs of an exported model; none for formats that hold weights only."""
    if files[0].suffix == ".pt2":
        program = torch.export.load(files[0]).module()
        found = program(*map(torch.from_numpy, inputs.values()))
        return {name: tensor.detach().numpy() for name, tensor in found.items()}
    if files[0].suffix in (".safetensors", ".pt"):
        return {}
    return open_runner(files[0], files[1:2] if files[0].suffix == ".prototxt" else ()).run(inputs)


def check(name, to, folder):
    net = REFERENCE / name / "net.prototxt"
    blobs = weights(name, folder / "in.caffemodel")
    files = convert(net, blobs, to=to, output=folder / "out").files
    with np.load(REFERENCE / name / "vectors.npz") as vectors:
        recorded = {key: vectors[key] for key in vectors.files}
    graph = open_net(net, blobs).graph
    inputs = {graph.values[value].blob: recorded[f"in/{graph.values[value].blob}"] for value in graph.inputs}
    kept = drop_losses(graph).inputs if to in ("py", "onnx", "pt2") else graph.inputs
    inputs = {blob: inputs[blob] for blob in (graph.values[value].blob for value in kept)}
    found = results(files, {blob: np.asarray(array, np.float32) for blob, array in inputs.items()})
    if str(recorded["phase"]) == "TEST":
        for blob, array in found.items():
            if f"out/{blob}" in recorded and blob in graph.blobs and graph.blobs[blob] == blob:
                np.testing.assert_allclose(array, recorded[f"out/{blob}"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NETS[::5])
def test_a_net_is_exported(tmp_path, name):
    for to in ("caffe", "py"):
        check(name, to, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_every_net_is_exported(tmp_path, name):
    for to in ("caffe", "py"):
        check(name, to, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS[::STEP])
@pytest.mark.parametrize("to", sorted(set(FORMATS) - {"caffe", "caffe2", "py"}))
def test_a_net_is_exported_in_other_formats(tmp_path, name, to):
    check(name, to, tmp_path)
