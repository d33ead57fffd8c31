"""Which lines a plot of runs has, and that it is an image."""

from __future__ import annotations

import importlib
from datetime import datetime

import pytest

from netc.diagnostics import NetcError
from netc.training.log.parse_log import ParsedLog, parse, read_log
from netc.training.log.plots import draw, series_of
from tests.training.log.test_parse_log import CAFFE, of_messages


def test_the_lines_of_a_run():
    lines = {(line.panel, line.label): line for line in series_of(read_log(CAFFE))}
    assert list(lines) == [
        ("loss", "train"),
        ("accuracy", "test, accuracy"),
        ("loss", "test, loss"),
        ("learning rate", ""),
    ]
    assert lines["accuracy", "test, accuracy"].x == (0, 100, 200, 300)
    assert lines["accuracy", "test, accuracy"].y == (0.0944444, 0.95, 0.983333, 0.980556)
    assert (lines["loss", "train"].x[-1], lines["loss", "train"].y[-1]) == (300, 0.0263054)
    assert lines["learning rate", ""].y[:2] == (0.01, 0.00999251)


def test_over_seconds_each_point_has_its_own_time():
    log = read_log(CAFFE)
    for line in series_of(log, seconds=True):
        rows = log.tests[0] if line.net else log.train
        assert line.x == tuple(row.seconds for row in rows)
        assert line.x[-1] < 14


def test_several_losses_are_drawn_separately():
    log = of_messages(
        "Iteration 0, loss = 3",
        "    Train net output #0: one = 1 (* 1 = 1 loss)",
        "    Train net output #1: two = 4 (* 0.5 = 2 loss)",
        "    Train net output #2: top5 = 0.25",
    )
    found = [(line.panel, line.label, line.y) for line in series_of(log)]
    assert found == [
        ("loss", "train", (3,)), ("loss", "train, one", (1,)), ("loss", "train, two", (4,)),
        ("accuracy", "train, top5", (0.25,)),
    ]  # fmt: skip


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_plot_files(tmp_path, ending, begins):
    pytest.importorskip("matplotlib")
    logs = [read_log(CAFFE), parse(CAFFE.read_text().splitlines(True)[:30], "part.log", datetime(2026, 11, 21))]
    path = tmp_path / f"plot.{ending}"
    for drawn, runs in ((8, logs), (4, logs[:1])):
        assert len(draw(runs, path, seconds=drawn == 8, logarithmic=drawn == 4)) == drawn
        assert path.read_bytes().startswith(begins)
        assert path.stat().st_size > 3000
    if ending == "svg":
        assert b"caffe_log.txt" in path.read_bytes() or b"<path" in path.read_bytes()


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    def absent(name, *_):
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(NetcError, match="matplotlib") as caught:
        draw([read_log(CAFFE)], tmp_path / "x.png")
    assert (caught.value.diagnostics[0].code, "netc[plot]" in (caught.value.diagnostics[0].help or "")) == (
        "E633",
        True,
    )


def test_an_unknown_extension(tmp_path):
    with pytest.raises(NetcError, match=r"must be one of `\.png`, `\.svg`") as caught:
        draw([read_log(CAFFE)], tmp_path / "x.doc")
    assert caught.value.diagnostics[0].code == "E634"


def test_nothing_to_plot(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(NetcError, match="nothing to plot"):
        draw([ParsedLog("empty")], tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
