#!/usr/bin/env python3
"""Time reading and converting a weights file of VGG-16's size (553 MB), which is generated first.

usage: bench_weights.py [--rounds N] [--json OUT]

read      seconds to read the file into memory, warm cache: the reference for the others
load      netc.load, at most 2 times `read`; peak memory at most 1.3 times the file
init      netc.load of the same net of Caffe2, its weights in an init net (100 MB): bars as for `load`
convert   to safetensors, under 5 s
list      `netc weights` as a whole process, under 1 s

Each case runs in its own process, whose peak memory is read from /proc; the memory in use before the case starts is
subtracted. A small net is loaded first, so that no case includes imports.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "vgg_d" / "deploy.prototxt"
CASE = """
import re, sys, time
import torch
import netc.compiler, netc.conversion.convert
torch.set_num_threads(2)
model, weights, output = sys.argv[1:]
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
netc.compiler.load("models/lenet/deploy.prototxt")
before = peak()
start = time.perf_counter()
{body}
elapsed = time.perf_counter() - start
print(elapsed, peak() - before)
"""
BODIES = {
    "read": "data = open(weights, 'rb').read()",
    "load": "net = netc.compiler.load(model, weights)",
    "read_init": "data = open(weights, 'rb').read()",
    "init": "net = netc.compiler.load(model, weights)",
    "convert": "netc.conversion.convert.convert(model, weights, to='safetensors', output=output)",
}
BARS = {"load": 2.0, "memory": 1.3, "convert": 5.0, "list": 1.0}


def write_weights(path: Path) -> int:
    """Write the file; return its size."""
    import numpy as np

    from netc.compiler import graph_of, read_net
    from netc.ir.graph import State
    from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel

    graph = graph_of(read_net(MODEL), State())
    generator = np.random.default_rng(0)
    layers = []
    for node in graph.nodes:
        shapes = [weight.shape for weight in graph.weights(node)]
        blobs = tuple(BlobArray(generator.random(shape, dtype=np.float32)) for shape in shapes)
        layers += [LayerBlobs(node.name, node.layer.type, blobs)] if blobs else []
    write_caffemodel(path, Weights(tuple(layers), graph.name))
    return path.stat().st_size


def write_init_net(folder: Path) -> tuple[Path, Path]:
    """Write a predict net of eight large inner products, and its init net; return their paths."""
    import numpy as np

    from netc.exporters.caffe2.model import init_net

    generator, count, side = np.random.default_rng(0), 8, 1810
    arrays = {f"w{index}": generator.random((side, side), dtype=np.float32) for index in range(count)}
    arrays["b"] = generator.random(side, dtype=np.float32)
    predict, init = folder / "predict_net.pbtxt", folder / "init_net.pb"
    init.write_bytes(init_net(arrays).SerializeToString())
    operators = "".join(
        f'op {{ type: "FC" input: "x{index}" input: "w{index}" input: "b" output: "x{index + 1}" }}\n'
        for index in range(count)
    )
    inputs = "".join(f'external_input: "{name}"\n' for name in ("x0", *arrays))
    predict.write_text(f'{operators}{inputs}external_output: "x{count}"\n')
    return predict, init


def run(case: str, weights: Path, output: Path, model: Path = MODEL) -> tuple[float, float]:
    """Seconds and bytes of memory that a case takes in its own process."""
    code = CASE.format(body=BODIES[case])
    command = [sys.executable, "-c", code, str(model), str(weights), str(output)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def listing(weights: Path) -> float:
    """Seconds of `netc weights`, including startup and imports."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "netc", "weights", str(weights)], check=True, stdout=subprocess.DEVNULL, cwd=ROOT
    )
    return time.perf_counter() - start


def measure(rounds: int, folder: Path) -> dict[str, float]:
    """All measurements, each the median of the rounds."""
    weights, output = folder / "vgg16.caffemodel", folder / "vgg16.safetensors"
    size = write_weights(weights)
    run("read", weights, output)
    predict, init = write_init_net(folder)
    run("read_init", init, output, predict)
    files = {"init": (init, output, predict), "read_init": (init, output, predict)}
    results = {case: [run(case, *files.get(case, (weights, output))) for _ in range(rounds)] for case in BODIES}
    seconds = {case: statistics.median(second for second, _ in found) for case, found in results.items()}
    memory = {case: statistics.median(held for _, held in results[case]) for case in ("load", "init")}
    return {
        "bytes": size,
        **{f"{case}_seconds": value for case, value in seconds.items()},
        "list_seconds": statistics.median(listing(weights) for _ in range(rounds)),
        "load_over_read": seconds["load"] / seconds["read"],
        "load_memory_over_file": memory["load"] / size,
        "init_over_read": seconds["init"] / seconds["read_init"],
        "init_memory_over_file": memory["init"] / init.stat().st_size,
    }


def main() -> int:
    """Run the command line; the exit status is 1 if a limit is exceeded."""
    parser = argparse.ArgumentParser(description="Time reading and converting a weights file of VGG-16's size.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for all measurements")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(given.rounds, Path(folder))
    checks = {
        "load_over_read": BARS["load"],
        "load_memory_over_file": BARS["memory"],
        "init_over_read": BARS["load"],
        "init_memory_over_file": BARS["memory"],
        "convert_seconds": BARS["convert"],
        "list_seconds": BARS["list"],
    }
    for name, value in found.items():
        bar = f"  (at most {checks[name]:g})" if name in checks else ""
        print(f"{name:24} {value:14.3f}{bar}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(any(found[name] > bar for name, bar in checks.items()))


if __name__ == "__main__":
    sys.exit(main())
