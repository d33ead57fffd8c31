"""Cases that read files: prototxt text into a message, and the whole process of `netc check` and `netc summary`."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.pairs import MODELS
from benchmarks.report import Result
from benchmarks.timing import Timing, alternate
from netc.diagnostics import Source
from netc.schema import caffe
from netc.text import parse, to_message

DEEPEST = MODELS / "resnet152"
WITHOUT_TORCH = """
import sys
from netc.cli import main
status = main(sys.argv[1:])
sys.exit("torch was imported" if "torch" in sys.modules else status)
"""


def text(rounds: int) -> Result:
    """Parse the longest prototxt of models/ to a message, against protobuf's own parser."""
    from google.protobuf import text_format

    path = DEEPEST / "train_val.prototxt"
    source = Source(str(path), path.read_text())

    def ours() -> object:
        return to_message(parse(source), "NetParameter")[0]

    def theirs() -> object:
        return text_format.Parse(source.text, caffe.NetParameter())

    if ours() != theirs():
        raise ValueError("the two readers return different messages")
    return Result("text", alternate(ours, theirs, rounds), 3.0, notes={"lines": source.text.count("\n")})


def whole_process(verb: str, rounds: int) -> Result:
    """Seconds from start to end of `netc <verb>` on ResNet-152, against half a second; fails if torch is imported."""
    path = str(DEEPEST / "deploy.prototxt")
    command = [sys.executable, "-c", WITHOUT_TORCH, verb, path]
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return Result(verb, Timing(tuple(times[1:]), (0.5,) * rounds), 1.0, notes={"other": "the limit of 0.5 s"})
