"""A large init net is in memory once when it is loaded; tools/bench_weights.py measures the time."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from netc.weights.wire import delimited, tag, varint

ROWS, COLUMNS, BLOBS = 1024, 1280, 8
MEASURE = """
import resource, sys
import numpy as np
import netc

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

predict, init, small = sys.argv[1:]
netc.load(small).run({"x": np.ones(2, np.float32)})
before = peak()
netc.load(predict, weights=init)
print(peak() - before)
"""


def given(name: str, values: np.ndarray) -> bytes:
    """A GivenTensorFill whose floats are written one by one, each with its tag, as protobuf does."""
    tagged = np.zeros(values.size, np.dtype([("tag", "u1"), ("value", "<f4")]))
    tagged["tag"], tagged["value"] = tag(5, 5)[0], values.ravel()
    shape = delimited(1, b"shape") + b"".join(tag(6, 0) + varint(extent) for extent in values.shape)
    arguments = delimited(5, shape) + delimited(5, delimited(1, b"values") + tagged.tobytes())
    return delimited(2, delimited(2, name.encode()) + delimited(4, b"GivenTensorFill") + arguments)


def test_memory_of_a_large_init_net(tmp_path):
    predict, init, small = (tmp_path / name for name in ("predict.pbtxt", "init.pb", "small.pbtxt"))
    generator = np.random.default_rng(0)
    names = [f"w{index}" for index in range(BLOBS)]
    with init.open("wb") as file:
        for name in names:
            file.write(given(name, generator.standard_normal((ROWS, COLUMNS), np.float32)))
    inputs = "".join(f' input: "{name}"' for name in names)
    external = "".join(f' external_input: "{name}"' for name in names)
    predict.write_text(f'op {{ type: "Sum"{inputs} output: "y" }}{external} external_output: "y"')
    small.write_text('op { type: "Relu" input: "x" output: "y" } external_input: "x"')
    command = [sys.executable, "-c", MEASURE, *map(str, (predict, init, small))]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown <= 1.3 * init.stat().st_size
