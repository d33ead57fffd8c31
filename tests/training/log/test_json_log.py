"""A log as JSON lines."""

from __future__ import annotations

import json
import os

import pytest

from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.log.json_log import JsonLogWriter


def test_json_lines(tmp_path):
    path = tmp_path / "run.jsonl"
    run = [
        events.LogNote("solver.cpp:57", "words"),
        events.RunStarted("net", "fixed", 4, 6, 64),
        events.LossMeasured(4, 0.5),
        events.IterationDisplayed(4, float("nan"), 0.5, 1, 1, (events.Output("loss", 0.5, 1.0),)),
        events.IterationFinished(5, 0.01),
        events.TestFinished(5, 0, (events.Output("accuracy", 0.75),)),
        events.RunFinished(6),
    ]
    for _ in range(2):  # the second run goes on in the same file
        writer = JsonLogWriter(path, now=lambda: 12.5)
        for event in run:
            writer(event)
        writer.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[:5] == lines[5:]
    assert [line["event"] for line in lines[:5]] == [
        "run_started",
        "iteration_displayed",
        "iteration",
        "test_finished",
        "run_finished",
    ]
    assert lines[2] == {"event": "iteration", "time": 12.5, "iteration": 4, "loss": 0.5, "learning_rate": 0.01}
    assert lines[1]["loss"] is None
    assert lines[3]["outputs"] == [{"blob": "accuracy", "value": 0.75, "loss_weight": 0.0}]


def test_lines_are_flushed_at_once(tmp_path):
    writer = JsonLogWriter(tmp_path / "run.jsonl")
    writer(events.RunStarted("net", "fixed", 0, 1))
    assert json.loads((tmp_path / "run.jsonl").read_text())["net"] == "net"
    writer.close()


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(NetcError, match="cannot be written: no such file") as caught:
        JsonLogWriter(tmp_path / "absent" / "run.jsonl")
    assert caught.value.diagnostics[0].code == "E632"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for_but_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(NetcError, match="it is a pipe or a socket that no process reads") as caught:
        JsonLogWriter(pipe)
    assert caught.value.diagnostics[0].code == "E632"
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    writer = JsonLogWriter(pipe)
    writer(events.WarningIssued("text"))
    writer.close()
    assert b'"warning_issued"' in os.read(reader, 4096)
    os.close(reader)
