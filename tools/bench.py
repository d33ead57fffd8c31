#!/usr/bin/env python3
"""Time netc against handwritten PyTorch (tools/handwritten.py) and protobuf, alternating, in one run.

usage: bench.py [NAME...] [--device cpu|cuda] [--rounds N] [--batch N] [--threads N] [--json OUT]

Cases: lenet-step, and forward and step of alexnet, googlenet and resnet50 (alexnet-forward, ...); inference, which is
inference-<net>-<way> for eager, folded, channels-last and compiled; text, check, summary;
pycaffe-lenet and pycaffe-alexnet (see benchmarks/facade.py); pyramid-forward; caffe2-squeezenet;
ssd300-forward, ssd300-output and ssd300-loss (see benchmarks/detection.py); data-raw, data-jpeg and
train-lmdb (see benchmarks/data.py). A name selects all cases that begin with it; by default all are run. Parameter
counts, outputs and losses are compared before timing. The ratio is the median over rounds. Memory on a CPU is what
autograd stores between the passes, on a GPU the peak of a step.
On a shared machine, OMP_WAIT_POLICY=PASSIVE keeps threads from spinning while they wait for a core.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import sys
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from typing import TYPE_CHECKING

from benchmarks import data, detection, facade, nets, pyramid, reading, squeezenet
from benchmarks.report import Result, surroundings, table

if TYPE_CHECKING:
    from collections.abc import Callable

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Options of mallopt, from malloc.h."""
BIG = ("alexnet", "googlenet", "resnet50")


def cases(device: str, rounds: int, batch: int, threads: int = 2) -> dict[str, Callable[[], Result]]:
    """Every case by name."""
    found: dict[str, Callable[[], Result]] = {
        "lenet-step": partial(nets.step, "lenet", 64, device, 5 * rounds, 1.10, 10),
    }
    for model in BIG:
        found[f"{model}-forward"] = partial(nets.forward, model, batch, device, rounds)
        found[f"{model}-step"] = partial(nets.step, model, batch, device, rounds)
    for model, way in itertools.product(BIG, nets.WAYS):
        found[f"inference-{model}-{way}"] = partial(nets.inference, model, way, batch, device, rounds)
    found["pyramid-forward"] = partial(pyramid.forward, device, 3 * rounds)
    found["caffe2-squeezenet"] = partial(squeezenet.forward, device, 2 * rounds)
    found["text"] = partial(reading.text, rounds)
    for verb in ("check", "summary"):
        found[verb] = partial(reading.whole_process, verb, rounds)
    found |= {**detection.cases(rounds), **facade.cases(rounds, batch)} if device == "cpu" else {}
    return {**found, **data.cases(device, rounds, threads)}


def keep_memory() -> None:
    """Let glibc's malloc keep freed memory: returning pages and faulting them in again takes up to a third of a pass,
    and affects one side or the other by chance.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for setting, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
        mallopt(setting, value)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time netc against handwritten PyTorch.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases to run; default: all")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=15, help="number of timings of each side of a case")
    parser.add_argument("--batch", type=int, default=10, help="batch size of the large nets")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for all measurements")
    return parser.parse_args()


def main() -> int:
    """Run the command line; the exit status is 1 if a limit is exceeded."""
    given = arguments()
    torch.set_num_threads(given.threads)
    keep_memory()
    known = cases(given.device, given.rounds, given.batch, given.threads)
    chosen = {name: [case for case in known if f"{case}-".startswith(f"{name}-")] for name in given.names}
    unknown = [name for name, found in chosen.items() if not found]
    if unknown:
        print(f"unknown case {', '.join(unknown)}: the cases are {', '.join(known)}", file=sys.stderr)
        return 2
    around = surroundings(given.device, given.threads)
    print("  ".join(f"{name} {value}" for name, value in around.items()), flush=True)
    results = [known[case]() for case in (itertools.chain(*chosen.values()) if chosen else known)]
    print(table(results))
    if given.json:
        given.json.write_text(json.dumps({**around, "cases": [r.plain() for r in results]}, indent=2) + "\n")
    return int(any(r.bar is not None and r.timing.ratio > r.bar for r in results))


if __name__ == "__main__":
    sys.exit(main())
