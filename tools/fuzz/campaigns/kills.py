"""Kills and signals at random moments of a training run, which is then resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fuzz.campaigns.bases import files
from fuzz.campaigns.campaign import MODELS, generator

if TYPE_CHECKING:
    import random

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ITERATIONS = 400
NETC = (sys.executable, "-m", "netc")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(MODELS.parent)}
STARTS = 12
"""A run that has not finished after this many starts makes no progress."""


class Kills:
    """Kills and signals at random moments of a training run, which must end with the weights of an undisturbed run."""

    name = "kills"

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def run(self, inputs: int, seconds: float | None) -> int:
        """Disturb `inputs` runs, print what was found, return the number of faults."""
        stop = time.monotonic() + seconds if seconds else float("inf")
        with tempfile.TemporaryDirectory() as directory:
            expected, length = _undisturbed(Path(directory))
        faults = done = 0
        while done < inputs and time.monotonic() < stop:
            fault = _trial(generator(self.name, self.seed, done), expected, length)
            if fault:
                faults += 1
                click.echo(f"kills: input {done} of seed {self.seed}: {fault}")
            done += 1
        click.echo(f"kills: {done} runs, {faults} faults")
        return faults


def _undisturbed(directory: Path) -> tuple[bytes, float]:
    """Return the weights of an undisturbed run, and its length in seconds."""
    _write(directory)
    began = time.monotonic()
    command = [*NETC, "train", "--solver", "solver.prototxt"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True, env=ENVIRONMENT)
    return _weights(directory), time.monotonic() - began


def _trial(rng: random.Random, expected: bytes, length: float) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        _write(directory)
        for start in range(STARTS):
            sent = rng.choice(SIGNALS) if start < STARTS - 3 else None
            status, log = _started(directory, sent, rng.uniform(0.3, 1.0) * length, rng.random() < 0.3)
            if "Traceback" in log:
                return f"traceback after {sent!r}: {log[-600:]}"
            if sent is None and status:
                return f"exit status {status}: {log[-600:]}"
            if (directory / f"snap_iter_{ITERATIONS}.caffemodel").exists() and sent is None:
                return _end(directory, expected)
        return "no progress"


def _started(directory: Path, sent: signal.Signals | None, after: float, twice: bool) -> tuple[int, str]:
    """Start or resume the run, disturb it, and return its exit status and log."""
    command = [*NETC, "train", "--solver", "solver.prototxt", "--snapshot", "auto"]
    with _process(command, directory) as process:
        try:
            _, log = process.communicate(timeout=after if sent else None)
        except subprocess.TimeoutExpired:
            assert sent is not None
            process.send_signal(sent)
            if twice:
                time.sleep(0.002)
                process.send_signal(sent)
            try:
                _, log = process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                _, log = process.communicate()
        return process.returncode, log.decode("utf-8", "replace")


def _process(command: list[str], directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=directory, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _end(directory: Path, expected: bytes) -> str | None:
    if _weights(directory) != expected:
        return "the resumed run ends with other weights"
    left = sorted(path.name for path in directory.iterdir() if path.name.endswith(".tmp"))
    return f"temporary files stay: {', '.join(left)}" if left else None


def _weights(directory: Path) -> bytes:
    return (directory / f"snap_iter_{ITERATIONS}.caffemodel").read_bytes()


def _write(directory: Path) -> None:
    solver = files()["solver.prototxt"].decode()
    changed = solver.replace("max_iter: 6", f"max_iter: {ITERATIONS}").replace("snapshot: 2", "snapshot: 5")
    for name in ("train.prototxt", "mean.binaryproto", "db/data.mdb", "db/lock.mdb"):
        if name in files():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_bytes(files()[name])
    (directory / "solver.prototxt").write_text(changed)
