#!/usr/bin/env python3
"""Convert nets to every output format, run the results, and compare them on photographs.

usage: check_conversions.py [--models NAME ...] [--formats FORMAT ...] [--json OUT]

Each models/NAME/deploy.prototxt is converted to safetensors, .py, ONNX and .pt2 as by `netc convert`. Weights are
random, such that activations keep their scale and rounding errors do not grow: He initialization, BatchNorm with the
statistics of the images, and a last layer with scores of about 2. The images are the two photographs in scikit-learn,
cropped and resized; a batch of 1 and one of 3 are run.

A format agrees if no output differs from the net's own by more than 1e-4 of the output's largest value. A .py runs in a
process in which `netc` cannot be imported. The exit status is 1 if a format differs or cannot be written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
FORMATS = ("safetensors", "py", "onnx", "pt2")
TOLERANCE = 1e-4
SCORES = 2.0
"""The standard deviation of the outputs of the last layer."""
SHIFT, BRANCH = 1.0, 0.3
"""The bias after a BatchNorm, and the factor of residual branches."""
RUN = """
import sys
sys.modules["netc"] = None  # importing it fails
folder, name, inputs, outputs = sys.argv[1:]
sys.path.insert(0, folder)
import importlib, numpy, torch
torch.set_num_threads(2)
net = importlib.import_module(name).load()
results = {}
for index, batch in enumerate(numpy.load(inputs).values()):
    with torch.no_grad():
        found = net(torch.from_numpy(batch))
    found = {"": found} if isinstance(found, torch.Tensor) else found
    results.update({f"{index}:{blob}": tensor.numpy() for blob, tensor in found.items()})
numpy.savez(outputs, **results)
"""
Array = np.ndarray[Any, np.dtype[Any]]
Outputs = list[dict[str, Array]]
"""The outputs of each batch, by name."""


@dataclass(frozen=True)
class Row:
    """The result for one net in one format."""

    model: str
    format: str
    relative: float
    """The largest difference of an output, relative to its largest value; infinite if there is no result."""
    note: str = ""

    @property
    def agrees(self) -> bool:
        return self.relative <= TOLERANCE


def photographs() -> list[Path]:
    """The two photographs in scikit-learn, found without importing it."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise RuntimeError("install scikit-learn: its photographs are the input")
    folder = Path(spec.origin).parent / "datasets" / "images"
    return [folder / "china.jpg", folder / "flower.jpg"]


def batches_for(deploy: Path) -> list[Array]:
    """A batch of one image and one of three, preprocessed for the net: two photographs and a part of one."""
    import cv2

    from netc.conversion import preprocess
    from netc.conversion.images import prepared, read
    from netc.conversion.models import open_net
    from netc.conversion.preprocess import PreprocessOptions
    from netc.diagnostics import NetcError

    graph = open_net(deploy).graph
    try:
        steps = preprocess.find_preprocess(graph, deploy)
    except NetcError:  # its mean file does not exist
        gray = (graph.shape(graph.inputs[0]) or ())[1] == 1
        steps = preprocess.find_preprocess(
            graph, deploy, PreprocessOptions(mean=(120.0,) if gray else (104.0, 117.0, 123.0))
        )
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.png"
        china = cv2.imread(str(photographs()[0]))
        assert china is not None, "scikit-learn ships the photograph"
        cv2.imwrite(str(part), china[150:400, 200:500])
        items = [prepared(read(path, steps), steps) for path in (*photographs(), part)]
    return [np.stack(items[1:2]), np.stack(items)]


def fill(deploy: Path, images: Array, target: Path) -> None:
    """Write a .caffemodel with random weights under which activations keep their size."""
    import torch

    from netc.compiler import weighted
    from netc.conversion.models import open_net
    from netc.conversion.writers import write_caffe

    net = open_net(deploy)
    generator = torch.Generator().manual_seed(1)
    for blob in net.blobs:
        if blob.weight.name == "weight" and len(blob.shape) > 1:
            fan = int(np.prod(blob.shape[1:]))
            blob.data.copy_(torch.randn(blob.data.shape, generator=generator) * (2 / fan) ** 0.5)
        elif blob.weight.learnable:
            around = _around(net.graph.by_key[blob.key], blob.weight.name, net.graph)
            blob.data.copy_(around + 0.1 * torch.randn(blob.data.shape, generator=generator))
    with torch.no_grad():
        net.train()(torch.from_numpy(images))  # BatchNorm computes the statistics of the images
        _scale_last(net.eval(), images)
    model = weighted(net)
    write_caffe(model, target.with_suffix(".prototxt"))


def _around(node: Any, name: str, graph: Any) -> float:
    """The mean of a vector of weights.

    In a deep net with random weights, unlike in a trained one, each BatchNorm followed by a ReLU increases rounding
    errors by a fifth. Therefore most units are active, and residual branches are small compared to their input.
    """
    if node.layer.type != "Scale":
        return float(name == "weight" and node.layer.type == "PReLU") * 0.25
    if name == "bias":
        return SHIFT
    added = any(reader.layer.type == "Eltwise" for reader in graph.readers[node.tops[0]])
    return BRANCH if added else 1.0


def _scale_last(net: Any, images: Array) -> None:
    """Scale scores to a few units: a Softmax of large ones is all zeros and ones, which hides differences."""
    last = [node for node in net.graph.nodes if net.graph.weights(node)][-1]
    scores = net.run({net.graph.values[net.graph.inputs[0]].blob: images}, [net.graph.values[last.tops[0]].blob])
    (found,) = scores.values()
    for blob in net.blobs:
        if blob.key == last.key:
            blob.data.mul_(SCORES / float(found.std()))


def reference(deploy: Path, weights: Path, batches: Sequence[Array]) -> Outputs:
    """The outputs of the net itself."""
    from netc.conversion.models import open_net

    net = open_net(deploy, weights)
    blob = net.graph.values[net.graph.inputs[0]].blob
    return [net.run({blob: batch}) for batch in batches]


def run_python(file: Path, batches: Sequence[Array]) -> Outputs:
    """The outputs of a .py, in its own process without netc."""
    inputs, outputs = file.with_name("inputs.npz"), file.with_name("outputs.npz")
    np.savez(inputs, *batches)
    command = [sys.executable, "-I", "-c", RUN, str(file.parent), file.stem, str(inputs), str(outputs)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=file.parent)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    with np.load(outputs) as found:
        held = {tuple(name.split(":", 1)): found[name] for name in found.files}
    return [{name: array for (index, name), array in held.items() if index == str(i)} for i in range(len(batches))]


def run_onnx(file: Path, batches: Sequence[Array]) -> Outputs:
    """The outputs of onnxruntime."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level, settings.intra_op_num_threads = 3, 2
    session = onnxruntime.InferenceSession(str(file), settings, ["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    feed = session.get_inputs()[0].name
    return [dict(zip(names, session.run(None, {feed: batch}))) for batch in batches]


def run_pt2(file: Path, batches: Sequence[Array]) -> Outputs:
    """The outputs of a program of torch.export."""
    import torch

    program = torch.export.load(file).module()
    with torch.no_grad():
        found = [program(torch.from_numpy(batch)) for batch in batches]
    return [{name: tensor.numpy() for name, tensor in one.items()} for one in found]


def run_form(form: str, file: Path, deploy: Path, batches: Sequence[Array]) -> Outputs:
    """The outputs of a converted file."""
    if form == "safetensors":
        return reference(deploy, file, batches)
    return {"py": run_python, "onnx": run_onnx, "pt2": run_pt2}[form](file, batches)


def relative_difference(expected: Outputs, found: Outputs) -> float:
    """The largest difference of an output, relative to its largest value."""
    worst = 0.0
    for one, other in zip(expected, found):
        if len(one) != len(other):
            return float("inf")
        for name, array in one.items():
            values = other[name] if name in other else next(iter(other.values()))  # a .py with one output has no name
            if values.shape != array.shape or not np.isfinite(array).all():
                return float("inf")
            worst = max(worst, float(np.abs(values - array).max() / np.abs(array).max()))
    return worst if len(expected) == len(found) else float("inf")


def check(deploy: Path, folder: Path, formats: Sequence[str] = FORMATS, name: str = "") -> Iterator[Row]:
    """The rows of one net; files are written to `folder`, and those of a format are removed after the comparison."""
    from netc.conversion.convert import convert

    batches = batches_for(deploy)
    weights = folder / "weights.caffemodel"
    fill(deploy, batches[-1], weights)
    expected = reference(deploy, weights, batches)
    for form in formats:
        place = folder / form
        place.mkdir()
        try:
            done = convert(deploy, weights, to=form, output=place / f"model.{form}")  # type: ignore[arg-type]
            found = run_form(form, done.files[0], deploy, batches)
            yield Row(name, form, relative_difference(expected, found), _spread(expected))
        except Exception as error:
            yield Row(name, form, float("inf"), f"{type(error).__name__}: {str(error).splitlines()[0][:150]}")
        for file in place.rglob("*"):
            if file.is_file():
                file.unlink()


def _spread(expected: Outputs) -> str:
    """The largest output, which shows that the comparison is meaningful."""
    largest = max(float(np.abs(array).max()) for array in expected[-1].values())
    return f"largest output {largest:.3g}"


def main(arguments: Mapping[str, Any]) -> int:
    import torch

    torch.set_num_threads(2)
    names = arguments["models"] or sorted(path.parent.name for path in (ROOT / "models").glob("*/deploy.prototxt"))
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            deploy = ROOT / "models" / name / "deploy.prototxt"
            for row in check(deploy, Path(folder), arguments["formats"] or FORMATS, name):
                rows.append(row)
                mark = "" if row.agrees else "  DIFFERS"
                print(f"{row.model:14} {row.format:12} {row.relative:10.2e}  {row.note}{mark}", flush=True)
    differing = sum(not row.agrees for row in rows)
    print(f"{len(rows)} conversions, {differing} differ by more than {TOLERANCE:g} of the largest output")
    if arguments["json"]:
        Path(arguments["json"]).write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return int(differing > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", metavar="NAME", help="folders of models/; default: all")
    parser.add_argument("--formats", nargs="*", choices=FORMATS, help="default: all")
    parser.add_argument("--json", metavar="OUT")
    sys.exit(main(vars(parser.parse_args())))
