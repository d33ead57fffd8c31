"""Weights of classes from label maps, compared with a count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from netc.cli import main
from netc.data.tools.class_weights import class_weights
from tests.data.databases import fault
from tests.data.test_label_maps import palette_png


@pytest.fixture
def maps(tmp_path, monkeypatch):
    """Four label maps of classes 0, 2 and 5, of which not all have every class, with void pixels."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    choices = ([0, 2, 5, 255], [0, 2, 255], [0, 5], [0, 0, 0, 2])
    labels = [random.choice(some, (9, 11 + i)).astype(np.uint8) for i, some in enumerate(choices)]
    for i, one in enumerate(labels):
        Path(f"m{i}.png").write_bytes(palette_png(one))
    Path("list.txt").write_text("".join(f"gone{i}.jpg m{i}.png\n" for i in range(4)))
    return labels


def test_weights_are_the_median_frequency_over_each_frequency(maps):
    frequencies = {}
    for label in (0, 2, 5):
        having = [one for one in maps if (one == label).any()]
        frequencies[label] = sum((one == label).sum() for one in having) / sum((one != 255).sum() for one in having)
    found = class_weights("list.txt", threads=2)
    assert [one.label for one in found] == [0, 2, 5]
    for one in found:
        assert one.pixels == sum((m == one.label).sum() for m in maps)
        assert one.frequency == pytest.approx(frequencies[one.label])
        assert one.weight == pytest.approx(np.median(list(frequencies.values())) / frequencies[one.label])
    assert [one.label for one in class_weights("list.txt", ignored=(0, 5))] == [2, 255]


def test_verb(maps, capsys):
    assert main(["data", "class-weights", "list.txt"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = class_weights("list.txt")
    assert [float(line.split()[1]) for line in lines[:3]] == [round(one.weight, 4) for one in found]
    assert lines[0].endswith(f"# class 0: {found[0].frequency:.2%}, {found[0].pixels:,} pixels")
    assert lines[3] == "# without pixels: 1, 3, 4"
    assert main(["data", "class-weights", "list.txt", "--ignore", "0", "--ignore", "255", "--root", "./"]) == 0
    assert [line.split()[3] for line in capsys.readouterr().out.splitlines()[:2]] == ["class", "class"]


def test_bad_lists(maps):
    Path("m2.png").unlink()
    with fault("E504", "`m2.png` of `list.txt`: no such file"):
        class_weights("list.txt")
    with fault("E501", "`none.txt` cannot be read"):
        class_weights("none.txt")
