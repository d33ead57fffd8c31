"""`--skip-bad`: bad records are passed over and counted, in training, in its tests and in scoring."""

from __future__ import annotations

import lmdb
import pytest

from netc.cli import main

from .solver_files import write_solver
from .test_train import messages


@pytest.fixture
def spoilt(tmp_path, monkeypatch):
    """A solver whose database has the bad records 0, which determines the shape, and 5."""
    monkeypatch.chdir(tmp_path)
    write_solver(tmp_path)
    with lmdb.open("db", map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        keys = list(transaction.cursor().iternext(values=False))
        for index in (0, 5):
            transaction.put(keys[index], b"\xff")
    return [key.decode() for key in keys]


def skips(capsys) -> list[str]:
    return [line for line in messages(capsys) if "skipped" in line]


def test_training_stops_at_a_bad_record(spoilt, capsys):
    assert main(["train", "solver.prototxt"]) == 1
    assert f"record `{spoilt[0]}` of `db`" in capsys.readouterr().err


def test_training_and_scoring_skip_bad_records(spoilt, capsys):
    assert main(["train", "solver.prototxt", "--skip-bad"]) == 0
    found = skips(capsys)
    assert any(line.startswith("data layer skipped 2 records so far: record `") for line in found)
    tested = "data layer `test net #0: digits` skipped 2 records so far: record `"
    assert sum(line.startswith(tested) for line in found) == 1
    assert main(["test", "net.prototxt", "--weights=snap_iter_6.caffemodel", "--iterations=3", "--skip-bad"]) == 0
    (line,) = skips(capsys)
    assert line.startswith("data layer skipped 2 records so far")
    assert main(["test", "net.prototxt", "--weights=snap_iter_6.caffemodel", "--iterations=3"]) == 1


def test_the_solver_may_set_skip_bad(spoilt, capsys):
    with open("solver.prototxt", "a") as solver:
        solver.write("netc_param { skip_bad: true }\n")
    assert main(["train", "solver.prototxt"]) == 0
    assert skips(capsys)
