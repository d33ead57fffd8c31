"""Numbers of each iteration, JSON lines, and how fast a run goes."""

from __future__ import annotations

import json

import pytest

from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.log.json_log import Iterations, JsonWriter, Pace, Trained, all_of, clock


def test_a_loss_that_comes_late_waits_for_nobody():
    told = []
    take = Iterations(told.append)
    for event in (
        events.IterationFinished(1, 0.5),
        events.IterationFinished(2, 0.25),
        events.LossMeasured(0, 7.0),
        events.LossMeasured(1, 6.0),
        events.LossMeasured(2, 5.0),
    ):
        take(event)
    assert told == [Trained(0, 7.0, 0.5), Trained(1, 6.0, 0.25)]
    take(events.IterationFinished(3, 0.125))
    assert told[2:] == [Trained(2, 5.0, 0.125)]


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
        writer = JsonWriter(path, now=lambda: 12.5)
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
    assert lines[2] == {"event": "iteration", "time": 12.5, "iteration": 4, "loss": 0.5, "rate": 0.01}
    assert lines[1]["loss"] is None
    assert lines[3]["outputs"] == [{"blob": "accuracy", "value": 0.75, "loss_weight": 0.0}]


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path):
    writer = JsonWriter(tmp_path / "run.jsonl")
    writer(events.RunStarted("net", "fixed", 0, 1))
    assert json.loads((tmp_path / "run.jsonl").read_text())["net"] == "net"
    writer.close()


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(NetcError, match="cannot be written: no such file") as caught:
        JsonWriter(tmp_path / "absent" / "run.jsonl")
    assert caught.value.diagnostics[0].code == "E632"


def test_the_pace_is_that_of_the_last_seconds():
    now = [100.0]
    pace = Pace(events.RunStarted("net", "fixed", 50, 1050, 32), now=lambda: now[0])
    assert (pace.rate, pace.seconds_left) == (0.0, None)
    for iteration in range(51, 71):  # ten a second, then two a second
        now[0] += 0.1 if iteration <= 60 else 0.5
        pace.advance(iteration)
    assert 2.0 <= pace.rate < 2.3
    assert pace.images_per_second == pytest.approx(32 * pace.rate)
    assert pace.seconds_left == pytest.approx(980 / pace.rate)


@pytest.mark.parametrize(
    ("images", "seconds", "text"),
    [
        (0, 1.0, "10 iter/s, 0:00:09 left"),
        (256, 1.0, "10 iter/s, 2,560 images/s, 0:00:09 left"),
        (64, 40.0, "4 s/iter, 16 images/s, 0:06:00 left"),
    ],
)
def test_the_pace_in_words(images, seconds, text):
    now = iter([0.0, seconds])
    pace = Pace(events.RunStarted("net", "fixed", 0, 100, images), now=now.__next__)
    pace.advance(10)
    assert str(pace) == text


def test_spans_of_time():
    assert [clock(seconds) for seconds in (0.4, 59.6, 3661, 172800)] == [
        "0:00:00",
        "0:01:00",
        "1:01:01",
        "2 days 0:00:00",
    ]


def test_all_of_several_are_told():
    first, second = [], []
    all_of([first.append, second.append])(events.RunFinished(3))
    assert first == second == [events.RunFinished(3)]
