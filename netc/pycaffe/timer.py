"""Caffe's `Timer`."""

from __future__ import annotations

import time

import torch

from netc.pycaffe.mode import device


class Timer:
    """Measures the time between `start` and `stop`, of a GPU's work too in the mode `set_mode_gpu`."""

    def __init__(self) -> None:
        self._start = self._seconds = 0.0
        self._running = False

    def start(self) -> None:
        """Begin a measurement."""
        self._wait()
        self._start, self._running = time.perf_counter(), True

    def stop(self) -> None:
        """End the measurement; nothing if none is running."""
        if self._running:
            self._wait()
            self._seconds, self._running = time.perf_counter() - self._start, False

    @property
    def ms(self) -> float:
        """Milliseconds of the last measurement, which ends now if it is running."""
        self.stop()
        return self._seconds * 1e3

    @property
    def us(self) -> float:
        """Microseconds of the last measurement, which ends now if it is running."""
        self.stop()
        return self._seconds * 1e6

    @staticmethod
    def _wait() -> None:
        if device().type == "cuda":
            torch.cuda.synchronize(device())
