"""Scalars, read back by TensorBoard's own reader."""

from __future__ import annotations

import importlib

import pytest

from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.log.tensorboard import TensorBoardWriter


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scalars(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write = TensorBoardWriter(tmp_path)
    write(events.RunStarted("net", "fixed", 0, 2, 64))
    for iteration in range(2):
        write(events.LossMeasured(iteration, 2.0 - iteration))
        write(
            events.IterationDisplayed(
                iteration,
                1.5,
                0.5,
                10,
                10,
                (events.Output("loss", 2.0, 1.0), events.Output("top", 0.25), events.Output("top", 0.5)),
            )
        )
        write(events.IterationFinished(iteration + 1, 0.125))
    write(events.TestFinished(2, 1, (events.Output("accuracy", 0.75),)))
    write.close()
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    found = {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}
    assert found["train/loss"] == [(0, 2.0), (1, 1.0)]
    assert found["train/learning_rate"] == [(0, 0.125), (1, 0.125)]
    assert found["train/outputs/top.1"] == [(0, 0.5), (1, 0.5)]
    assert found["test1/accuracy"] == [(2, 0.75)]
    assert found["speed/images_per_second"] == [(0, 1280.0), (1, 1280.0)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_resumed_run_replaces_later_steps(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, loss in ((0, 1.0), (2, 3.0)):
        write = TensorBoardWriter(tmp_path)
        write(events.RunStarted("net", "fixed", start, 4))
        for iteration in range(start, 4):
            write(events.LossMeasured(iteration, loss))
            write(events.IterationFinished(iteration + 1, 0.125))
        write.close()
    reader = EventAccumulator(str(tmp_path))
    reader.Reload()
    assert [(e.step, e.value) for e in reader.Scalars("train/loss")] == [(0, 1.0), (1, 1.0), (2, 3.0), (3, 3.0)]


def test_without_tensorboard_the_extra_is_named(tmp_path, monkeypatch):
    def absent(name, *_):
        raise ModuleNotFoundError("No module named 'tensorboard'", name="tensorboard")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(NetcError, match="tensorboard") as caught:
        TensorBoardWriter(tmp_path)
    found = caught.value.diagnostics[0]
    assert (found.code, "netc[tensorboard]" in (found.help or "")) == ("E633", True)
