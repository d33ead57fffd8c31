"""The bar on a terminal."""

from __future__ import annotations

import io

import pytest

from netc.cli.training_listeners import training_listener
from netc.diagnostics import NetcError
from netc.training.log import events


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(listener):
    listener(events.RunStarted("net", "fixed", 10, 40, 64))
    for iteration in range(11, 41):
        listener(events.IterationFinished(iteration))
    listener(events.IterationDisplayed(40, 0.125, 1.0, 30, 30, ()))
    listener(events.RunFinished(40))


def test_a_terminal_shows_log_and_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    with training_listener() as listener:
        run(listener)
    shown = terminal.getvalue()
    for part in (
        "solver.cpp:289] Solving net",
        "40/40",
        "loss 0.125",
        "images/s",
        "0:00:00 left",
        "Optimization Done.",
    ):
        assert part in shown


def test_an_error_of_the_run_passes_the_bar(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    with pytest.raises(OSError, match="no database"), training_listener():
        raise NetcError("no database", code="E501")


def test_a_file_contains_only_the_log(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr("sys.stderr", file)
    with training_listener() as listener:
        run(listener)
    assert "images/s" not in file.getvalue()
    assert len(file.getvalue().splitlines()) == 4


def test_only_rank_0_prints(monkeypatch, tmp_path):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with training_listener(str(tmp_path / "run.jsonl")) as listener:
        run(listener)
    assert terminal.getvalue() == ""
    assert not (tmp_path / "run.jsonl").exists()
