"""A log that cannot be written does not end the run: it is dropped, and the others report it once."""

from __future__ import annotations

import contextlib
import io
import json
import os

import pytest

from netc.cli import main
from netc.training.log import events
from netc.training.log.caffe_log import GlogWriter
from netc.training.log.failsafe import FailsafeLogs, TrainingLog
from netc.training.log.json_log import JsonLogWriter
from tests.training.conftest import SOLVER

FULL = OSError(28, "No space left on device")
STEPS = [events.RunStarted("net", "fixed", 0, 3), *(events.IterationFinished(n, 0.1) for n in range(1, 4))]


class Failing:
    """A log that fails from one event on."""

    def __init__(self, at, on_close=False):
        self.at, self.on_close, self.calls = at, on_close, 0

    def __call__(self, event):
        self.calls += 1
        if self.calls > self.at:
            raise FULL

    def close(self):
        if self.on_close:
            raise FULL


def test_each_log_gets_each_event_in_order():
    heard = []
    logs = FailsafeLogs(
        [TrainingLog("one", lambda event: heard.append(("one", event))), TrainingLog("two", heard.append)]
    )
    logs(STEPS[0])
    assert heard == [("one", STEPS[0]), STEPS[0]]


def test_the_other_logs_report_it_once():
    stream, failing = io.StringIO(), Failing(2)
    logs = FailsafeLogs([TrainingLog("the JSON log `x`", failing), TrainingLog("standard error", GlogWriter(stream))])
    for event in [*STEPS, events.RunFinished(3)]:
        logs(event)
    assert failing.calls == 3
    text = "the JSON log `x` cannot be written: no space left on device; training continues without it"
    assert stream.getvalue().count(text) == 1
    assert "Optimization Done." in stream.getvalue()


def test_a_failure_on_close_is_reported():
    stream, failing = io.StringIO(), Failing(9, on_close=True)
    logs = FailsafeLogs(
        [TrainingLog("the JSON log `x`", failing, failing.close), TrainingLog("standard error", GlogWriter(stream))]
    )
    for event in STEPS:
        logs(event)
    logs.close()
    assert "the JSON log `x` cannot be written" in stream.getvalue()


def test_a_run_without_any_log_goes_on():
    logs = FailsafeLogs([TrainingLog("one", Failing(0)), TrainingLog("two", Failing(0))])
    for event in STEPS:
        logs(event)
    assert logs.logs == []


def test_other_errors_are_raised():
    def broken(event):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        FailsafeLogs([TrainingLog("broken", broken)])(STEPS[0])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_json_log_does_not_end_a_run(work, capsys):
    (work / "solver.prototxt").write_text(SOLVER)
    (work / "log").symlink_to("/dev/full")
    assert main(["train", "solver.prototxt", "--log-json", "log"]) == 0
    said = capsys.readouterr().err
    assert said.count("the JSON log `log` cannot be written: no space left on device; training continues") == 1
    assert (work / "small_iter_8.solverstate").exists()


def test_a_full_tensorboard_folder_does_not_end_a_run(work, capsys, monkeypatch):
    writers = pytest.importorskip("tensorboard.summary.writer.record_writer")
    (work / "solver.prototxt").write_text(SOLVER)
    write, count = writers.RecordWriter.write, [0]

    def failing(self, data):
        count[0] += 1
        if count[0] > 6:
            raise FULL
        write(self, data)

    monkeypatch.setattr(writers.RecordWriter, "write", failing)
    assert main(["train", "solver.prototxt", "--tensorboard", "board", "--log-json", "log"]) == 0
    said = capsys.readouterr().err
    assert said.count("the TensorBoard folder `board` cannot be written: no space left on device") == 1
    assert "Traceback" not in said
    kinds = [json.loads(line)["event"] for line in (work / "log").read_text().splitlines()]
    assert kinds.count("warning_issued") == 1
    assert kinds[-1] == "run_finished"


@pytest.mark.parametrize("stream", [None, "full"])
def test_without_a_standard_error_training_goes_on(work, monkeypatch, stream):
    (work / "solver.prototxt").write_text(SOLVER)
    if stream == "full":
        stream = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr("sys.stderr", stream)
    assert main(["train", "solver.prototxt", "--log-json", "log"]) == 0
    assert (work / "small_iter_8.solverstate").exists()
    kinds = [json.loads(line) for line in (work / "log").read_text().splitlines()]
    warned = [line["text"] for line in kinds if line["event"] == "warning_issued"]
    assert [text for text in warned if "the log on standard error cannot be written" in text] == warned
    assert len(warned) == (stream is not None)
    with contextlib.suppress(OSError):
        if stream:
            stream.close()


def test_a_json_log_raises_where_it_fails(work):
    writer = JsonLogWriter("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        writer(STEPS[0])
    with pytest.raises(OSError, match="No space left"):
        writer.close()
