"""Logs as tables: Caffe's own, netc's of the same events, and logs that went through something."""

from __future__ import annotations

import csv
import io
import math
import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.log.caffe_log import GlogWriter
from netc.training.log.log_tables import table_text, write_tables
from netc.training.log.parse_log import parse, read_log

CAFFE = Path(__file__).parents[2] / "reference" / "training" / "caffe_log.txt"
NOVEMBER = datetime(2026, 11, 21)
PREFIX = "I1120 21:46:35.000000 7 solver.cpp:1] "


def rows(text: str) -> list[dict[str, float]]:
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]


def of_messages(*messages: str):
    return parse([f"{PREFIX}{message}\n" for message in messages], changed=NOVEMBER)


def numbers(table):
    return [(row.iteration, row.outputs) for row in table]


def test_caffes_log_as_tables(tmp_path):
    written = write_tables(read_log(CAFFE), tmp_path)
    assert [(path.name, count) for path, count in written] == [("caffe_log.txt.train", 7), ("caffe_log.txt.test", 4)]
    train, test = (rows(path.read_text()) for path, _ in written)
    assert train[1] == {"NumIters": 10, "Seconds": 0.728492, "LearningRate": 0.00999251, "loss": 1.92106}
    assert test[-1] == {
        "NumIters": 300, "Seconds": 13.448626, "LearningRate": 0.00978788, "accuracy": 0.980556, "loss": 0.0615067
    }  # fmt: skip
    assert [row["NumIters"] for row in test] == [0, 100, 200, 300]


def test_netcs_log_of_the_same_run_has_the_same_tables(tmp_path):
    caffe = read_log(CAFFE)
    start, stream, at = datetime(2026, 11, 20, 21, 46, 35), io.StringIO(), [0.0]
    write = GlogWriter(stream, now=lambda: start + timedelta(seconds=at[0]))
    write(events.RunStarted("LeNet-digits", "inv", 0, 300))
    for row in sorted([*caffe.train, *caffe.tests[0]], key=lambda row: row.seconds):
        at[0] = row.seconds
        outputs = tuple(events.Output(name, value, float(name == "loss")) for name, value in row.outputs.items())
        if "accuracy" in row.outputs:
            write(events.TestStarted(row.iteration, 0))
            write(events.TestFinished(row.iteration, 0, outputs))
        else:
            write(events.IterationDisplayed(row.iteration, row.outputs["loss"], 0.3, 10, 10, outputs))
            write(events.LearningRateDisplayed(row.iteration, caffe.rates[row.iteration]))
    path = tmp_path / "netc.txt"
    path.write_text(stream.getvalue())
    netc = read_log(path)
    for ours, theirs in ((netc.train, caffe.train), (netc.tests[0], caffe.tests[0])):
        assert len(ours) == len(theirs)
        for a, b in zip(rows(table_text(ours)), rows(table_text(theirs))):
            assert a == pytest.approx(b, rel=1e-5, abs=1e-5)
    assert netc.weighted == caffe.weighted == {"loss"}


def test_both_forms_of_the_prefix_after_text_of_other_programs():
    for date in ("I1120", "I20261120", "[rank0]: I1120", "2026-11-20T21:46:35Z I1120"):
        log = parse(
            [
                f"{date} 21:46:35.5 7 solver.cpp:289] Solving net\n",
                "make: entering folder\n",
                f"{date} 21:46:37.75 7 solver.cpp:239] Iteration 5, loss = 0.5\n",
                f"{date} 21:46:37.75 7 solver.cpp:258]     Train net output #0: loss = 0.5 (* 1 = 0.5 loss)\n",
            ],
            changed=NOVEMBER,
        )
        assert [(row.iteration, row.seconds) for row in log.train] == [(5, 2.25)], date
        assert log.losses == {5: 0.5}


def test_seconds_continue_over_new_year_and_leap_days():
    lines = ["I1231 23:59:59.0 7 solver.cpp:289] Solving net\n"]
    for day, minute in (("0101", 0), ("0229", 0), ("0301", 1)):
        lines.append(f"I{day} 00:0{minute}:00.0 7 solver.cpp:239] Iteration {len(lines)}, loss = 1\n")
        lines.append(f"I{day} 00:0{minute}:00.0 7 solver.cpp:258]     Train net output #0: loss = 1\n")
    log = parse(lines, changed=datetime(2024, 3, 2))
    days = 24 * 3600
    assert [row.seconds for row in log.train] == [1, 59 * days + 1, 60 * days + 61]


def test_a_truncated_line_is_ignored(tmp_path):
    text = CAFFE.read_text()
    path = tmp_path / "cut.log"
    at = text.index("loss = 0.160171") + len("loss = 0.16")
    path.write_text(text[:at])
    assert list(read_log(path).tests[0][-1].outputs) == ["accuracy"]
    assert table_text(read_log(path).tests[0]).endswith(",0.95,\n")


@pytest.mark.parametrize("cut", range(0, len(CAFFE.read_text()), 397))
def test_any_truncated_log_is_parsed_as_a_prefix_of_the_whole(cut):
    text = CAFFE.read_text()
    part = parse(text[:cut].splitlines(keepends=True), changed=NOVEMBER)
    whole = parse(text.splitlines(keepends=True), changed=NOVEMBER)
    assert numbers(part.train) == numbers(whole.train)[: len(part.train)]
    for row, other in zip(part.tests.get(0, []), whole.tests[0]):
        assert row.outputs.items() <= other.outputs.items()


def test_a_resumed_run_replaces_repeated_iterations():
    def segment(start, stop, loss):
        for at in range(start, stop, 10):
            yield f"Iteration {at} (1 iter/s, 1s/10 iters), loss = {loss}"
            yield f"    Train net output #0: loss = {loss} (* 1 = {loss} loss)"
            yield f"Iteration {at}, lr = {loss / 100}"

    killed = "Iteration 40 (1 iter/s, 1"
    log = parse(
        [
            *[f"{PREFIX}{message}\n" for message in ("Solving net", *segment(0, 40, 1.0))],
            f"{PREFIX}{killed}{PREFIX}Solving net\n",
            *[f"{PREFIX}{message}\n" for message in segment(20, 50, 2.0)],
        ],
        changed=NOVEMBER,
    )
    expected = {0: 1.0, 10: 1.0, 20: 2.0, 30: 2.0, 40: 2.0}
    assert [(row.iteration, row.outputs["loss"]) for row in log.train] == list(expected.items())
    assert log.losses == expected
    assert log.rates == {at: loss / 100 for at, loss in expected.items()}


def test_each_test_net_has_its_own_table(tmp_path):
    log = of_messages(
        "Iteration 0, Testing net (#0)",
        "    Test net output #0: accuracy = 0.5",
        "Iteration 0, Testing net (#1)",
        "    Test net output #0: accuracy = 0.75",
        "    Test net output #1: odd name = -nan",
    )
    log.name = "two"
    assert [path.name for path, _ in write_tables(log, tmp_path, "\t")] == ["two.test", "two.test1"]
    assert (
        tmp_path / "two.test1"
    ).read_text() == "NumIters\tSeconds\tLearningRate\taccuracy\todd name\n0.0\t0.0\tnan\t0.75\tnan\n"


def test_each_element_of_an_output_has_its_own_column():
    log = of_messages(
        "Iteration 0, Testing net (#0)",
        *[f"    Test net output #{index}: accuracy = 0.{index}" for index in range(3)],
    )
    assert log.tests[0][0].outputs == {"accuracy": 0.0, "accuracy.1": 0.1, "accuracy.2": 0.2}


def test_a_row_has_the_learning_rate_of_its_iteration():
    log = of_messages(
        "Iteration 0, Testing net (#0)",
        "    Test net output #0: accuracy = 0.5",
        "Iteration 5, loss = 1",
        "    Train net output #0: loss = 1",
        "Iteration 5, lr = 0.5",
        "Iteration 10, loss = 1",
        "    Train net output #0: loss = 1",
        "Iteration 10, lr = 0.25",
        "Iteration 12, Testing net (#0)",
        "    Test net output #0: accuracy = 0.5",
    )
    assert [row.rate for row in log.train] == [0.5, 0.25]
    assert [row.rate for row in log.tests[0]] == [0.5, 0.25]
    assert math.isnan(of_messages("Iteration 1, loss = 1", "    Train net output #0: loss = 1").train[0].rate)


def test_lines_of_forks():
    log = of_messages(
        "Iteration 100 (9.5 iter/s, 10.5s/100 iter), 0.5/10.0ep, loss = 0.3",
        "    Train net output #0: loss = 0.3 (* 1 = 0.3 loss)",
        "Iteration 100, lr = 0.01, m = 0.9, wd = 0.0005",
        "MultiStep Status: Iteration 100, step = 1",
    )
    assert (log.losses, log.rates) == ({100: 0.3}, {100: 0.01})


@pytest.mark.parametrize("content", [b"", b"no log at all\n", bytes(range(256)) * 20, CAFFE.read_bytes()[:900]])
def test_files_that_are_not_logs(tmp_path, content):
    path = tmp_path / "x.log"
    path.write_bytes(content)
    with pytest.raises(NetcError, match="is not a training log") as caught:
        read_log(path)
    assert caught.value.diagnostics[0].code == "E631"


def test_a_missing_log(tmp_path):
    with pytest.raises(NetcError, match="no such file") as caught:
        read_log(tmp_path / "x.log")
    assert caught.value.diagnostics[0].code == "E001"


OLD = """I0425 10:12:40.629122  9167 solver.cpp:40] Solving x
I0425 10:12:49.629122  9167 solver.cpp:84] Iteration 0, Testing net
I0425 10:12:50.629122  9167 solver.cpp:121] Test score #0: 0.125
I0425 10:12:50.629122  9167 solver.cpp:121] Test score #1: 6.5
I0425 10:12:51.611122  9167 solver.cpp:65] Iteration 0, loss = 6.75
I0425 10:12:52.611122  9167 solver.cpp:208] Iteration 0, lr = 0.01
I0425 10:13:04.672341  9167 solver.cpp:208] Iteration 20, lr = 0.001
I0425 10:13:04.672637  9167 solver.cpp:65] Iteration 20, loss = 6.25
"""


def test_a_log_of_2014(tmp_path):
    log = parse(OLD.splitlines(keepends=True), changed=NOVEMBER)
    assert [(row.iteration, row.seconds, row.rate, row.outputs) for row in log.train] == [
        (0, pytest.approx(10.982), 0.01, {"loss": 6.75}),
        (20, pytest.approx(24.043515), 0.001, {"loss": 6.25}),
    ]
    assert numbers(log.tests[0]) == [(0, {"score_0": 0.125, "score_1": 6.5})]
    assert (log.weighted, log.unused) == ({"loss"}, 0)


def test_outputs_without_names():
    log = of_messages("Iteration 5, Testing net (#0)", "Test net output #0: 0.5", "Test net output #1: 1.#INF")
    assert numbers(log.tests[0]) == [(5, {"output_0": 0.5, "output_1": math.inf})]


@pytest.mark.parametrize("value", "nan -nan -nan(ind) nan(snan) -1.#IND 1.#QNAN 1.#SNAN 1.#IND00".split())
def test_every_spelling_of_nan(value):
    log = of_messages(f"Iteration 5, loss = {value}", f"    Train net output #0: loss = {value} (* 1 = {value} loss)")
    assert math.isnan(log.losses[5])
    assert math.isnan(log.train[0].outputs["loss"])
    assert (log.weighted, log.unused) == ({"loss"}, 0)


@pytest.mark.parametrize(("value", "expected"), [("1.#INF", math.inf), ("-1.#INF", -math.inf), ("-inf", -math.inf)])
def test_every_spelling_of_infinity(value, expected):
    assert of_messages(f"Iteration 5, loss = {value}").losses == {5: expected}


@pytest.mark.parametrize(
    "prefix",
    [
        "I1120 21:46:35.002187  7764 C:\\projects\\caffe\\src\\caffe\\solver.cpp:239] ",
        "I1120 21:46:35.002187  7764 c:\\my caffe (gpu)\\solver.cpp:239] ",
        "I1120 21:46:35.002187 0x7fff7a5c1000 solver.cpp:239] ",
        "I1120 21:46:35.002187 2093269760 /home/a-b/caffe/src/caffe/solver.cpp:239] ",
    ],
)
def test_prefixes_of_other_platforms(prefix):
    log = parse([f"{prefix}Solving x\n", f"{prefix}Iteration 10, loss = 0.5\n"], changed=NOVEMBER)
    assert (log.losses, log.train[0].seconds, log.unused) == ({10: 0.5}, 0.0, 0)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_logs_redirected_on_windows(tmp_path, encoding):
    path = tmp_path / "x.log"
    path.write_bytes(CAFFE.read_text().replace("\n", "\r\n").encode(encoding))
    assert read_log(path).train == read_log(CAFFE).train


def test_a_log_without_prefixes(tmp_path):
    path = tmp_path / "x.log"
    path.write_text("Iteration 0, loss = 2\nIteration 0, lr = 0.1\nIteration 10, loss = 1\n")
    log = read_log(path)
    assert log.losses == {0: 2, 10: 1}
    assert table_text(log.train) == "NumIters,Seconds,LearningRate,loss\n0.0,nan,0.1,2.0\n10.0,nan,0.1,1.0\n"


def test_lines_that_are_not_understood_are_counted():
    log = parse(
        [
            f"{PREFIX}    Train net output #0: loss = 2\n",  # before any iteration
            f"{PREFIX}Iteration 10, loss = much\n",
            f"{PREFIX}Iteration 10, loss = 0.5\n",
            f"{PREFIX}Iteration {'9' * 400}, loss = 0.5\n",
            f"{PREFIX}    Test net output #0: accuracy is 0.5\n",
            "Iteration 20, loss = 0.25\n",  # without a prefix
            f"{PREFIX}Iteration 30, step = 1\n",
            f"{PREFIX}Iteration 40, lr = 0.",  # truncated
        ],
        changed=NOVEMBER,
    )
    assert log.losses == {10: 0.5}
    assert (log.unused, log.first_unused) == (5, (1, "Train net output #0: loss = 2"))
    (warning,) = log.warnings()
    assert (warning.code, warning.notes[0]) == ("W631", "line 1: Train net output #0: loss = 2")
    assert parse(CAFFE.read_text().splitlines(keepends=True)).warnings() == ()


def test_the_time_is_linear_in_the_number_of_elements_and_of_rows():
    def seconds(count):
        wide = [f"{PREFIX}    Train net output #{i}: label = 0\n" for i in range(count)]
        long = [f"{PREFIX}Iteration {i // 2}, l{'r' if i % 2 else 'oss'} = 1\n" for i in range(count)]
        start = time.process_time()
        log = parse([f"{PREFIX}Iteration 0, loss = 1\n", *wide, *long], changed=NOVEMBER)
        assert len(log.train[0].outputs) == count
        return time.process_time() - start

    assert seconds(8000) < 12 * seconds(2000)  # quadratic: 16 times


def test_elements_do_not_take_the_column_of_another_blob():
    log = of_messages(
        "Iteration 0, loss = 1",
        *[f"    Train net output #{i}: {name} = {i}" for i, name in enumerate(["a.1", "a", "a", "a"])],
    )
    assert log.train[0].outputs == {"a.1": 0, "a": 1, "a.2": 2, "a.3": 3}


def test_a_source_that_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(NetcError, match="cannot be read") as caught:
            read_log(path)
        assert caught.value.diagnostics[0].code == "E001"
