"""The sidecar is checked as a whole when it is read: types, ranges, and that it fits the run."""

import base64
import copy
import json
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from netc import weights as files
from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.snapshots.sidecar import read_sidecar, sidecar_path
from tests.training.conftest import SOLVER

HUGE = int("9" * 400)
MORE = 'test_iter: 1 test_interval: 2 average_loss: 3 netc_param { watch: "loss" ema_decay: 0.9 }'
STATE = base64.b64encode(b"too short").decode()


@pytest.fixture
def snapshot(solver_from):
    """A snapshot after 3 iterations without a commit mark, so that only the fields are checked; its sidecar."""
    solver = solver_from(MORE)
    solver.step(3)
    path = solver.snapshot()
    files.write_solverstate(path, replace(files.read_solverstate(path), commit=None))
    return sidecar_path(path)


def changed(content, field, value):
    """A copy of the content with another value of a field (`loss.losses.0`); without it if the value is `...`."""
    result = copy.deepcopy(content)
    at, *rest = [int(part) if part.isdecimal() else part for part in field.split(".")]
    holder = result
    for part in rest:
        holder, at = holder[at], part
    if value is ...:
        del holder[at]
    else:
        holder[at] = value
    return result


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("iteration", ..., "`iteration` is missing"),
        ("iteration", HUGE, f"`iteration` is {'9' * 40}..., expected an integer from 0 to 2147483647"),
        ("iteration", True, "`iteration` is true, expected an integer from 0 to 2147483647"),
        ("model", 7, "`model` is 7, expected a string"),
        ("loss", [], "`loss` is a list of length 0, expected an object"),
        ("loss.smoothed", "x", '`loss.smoothed` is "x", expected a finite number'),
        ("loss.smoothed", float("nan"), "`loss.smoothed` is NaN, expected a finite number"),
        ("loss.losses", None, "`loss.losses` is null, expected a list"),
        ("loss.losses.1", [1], "`loss.losses[1]` is a list of length 1, expected a finite number"),
        ("loss.losses.0", HUGE, f"`loss.losses[0]` is {'9' * 40}..., expected a finite number"),
        ("loss.start", -1, "`loss.start` is -1, expected an integer from 0 to 2147483647"),
        ("random", [], "`random` is a list of length 0, expected a list of length 1"),
        ("random.0.cpu", "not base64!", '`random[0].cpu` is "not base64!", expected base64'),
        ("random.0.cpu", STATE, f'`random[0].cpu` is "{STATE}", expected the state of a random generator'),
        ("random.0.cuda", ..., "`random[0].cuda` is missing"),
        ("world_size", 0, "`world_size` is 0, expected an integer from 1 to 1048576"),
        ("train", 3, "`train` is 3, expected an object"),
        ("train.digits", "x", '`train.digits` is "x", expected an object'),
        ("train.digits.position", ..., "`train.digits.position` is missing"),
        ("train.digits.position", -6, "`train.digits.position` is -6, expected an integer from 0 to 9007199254740992"),
        ("train.digits.seed", 1.5, "`train.digits.seed` is 1.5, expected an integer from"),
        ("test", {}, "`test` is an object of length 0, expected a list"),
        ("test.0.digits.position", "5", '`test[0].digits.position` is "5", expected an integer from 0'),
        ("schedule.least_loss", "x", '`schedule.least_loss` is "x", expected a finite number'),
        ("schedule.last_event", ..., "`schedule.last_event` is missing"),
        ("watch.best", "x", '`watch.best` is "x", expected a finite number'),
        ("watch.misses", ..., "`watch.misses` is missing"),
        ("watch.tested", -2, "`watch.tested` is -2, expected an integer from 0"),
        ("ema", "x", '`ema` is "x", expected an integer from 0 to 2147483647'),
        ("loss_scale", 3, "`loss_scale` is 3, expected an object"),
        ("format", "3", '`format` is "3", expected an integer from 0 to 2147483647'),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 25 else "",
)
def test_a_damaged_field_is_named(snapshot, solver_from, field, value, message):
    snapshot.write_text(json.dumps(changed(json.loads(snapshot.read_text()), field, value)))
    other = solver_from(MORE)
    before = [blob.data.clone() for blob in other.net.blobs]
    with pytest.raises(NetcError) as caught:
        other.restore("small_iter_3.solverstate")
    (found,) = caught.value.diagnostics
    assert found.code == "E706"
    assert found.message.startswith(f"`small_iter_3.netc.json` is damaged: {message}")
    assert found.help.startswith("remove `small_iter_3.netc.json`")
    assert (other.iteration, other.state.train.feeds["digits"].source.position) == (0, 0)
    assert all(blob.data.equal(old) for blob, old in zip(other.net.blobs, before))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not JSON from line 1, column 1 on"),
        (b"[1]", "the content is a list of length 1, expected an object"),
        (b'{"a": "\xff"}', "byte 7 is not text"),
        (b"[" * 100_000, "its values are nested too deeply"),
        (b"9" * 5000, "Exceeds the limit"),
    ],
)
def test_content_that_is_no_sidecar(tmp_path, content, reason):
    path = tmp_path / "x.netc.json"
    path.write_bytes(content)
    with pytest.raises(NetcError, match=re.escape(reason)):
        read_sidecar(path)


def test_what_is_not_a_regular_file_is_not_read(tmp_path):
    path = tmp_path / "x.netc.json"
    os.mkfifo(path)
    with pytest.raises(NetcError, match="not a regular file"):
        read_sidecar(path)


def test_the_generator_of_dummy_data_is_checked(solver_from, work):
    (work / "net.prototxt").write_text("""
        layer { name: "d" type: "DummyData" top: "a" top: "b" dummy_data_param {
          shape { dim: 2 dim: 3 } data_filler { type: "gaussian" } } }
        layer { name: "ip" type: "InnerProduct" bottom: "a" top: "c" inner_product_param { num_output: 3 } }
        layer { name: "loss" type: "EuclideanLoss" bottom: "c" bottom: "b" top: "loss" }
    """)
    solver = solver_from()
    path = sidecar_path(solver.snapshot())
    content = json.loads(path.read_text())
    for value, message in (
        (STATE, "expected the state of a random generator"),
        (..., "`train.d.generator` is missing"),
    ):
        path.write_text(json.dumps(changed(content, "train.d.generator", value)))
        files.write_solverstate(
            "x.solverstate", replace(files.read_solverstate("small_iter_0.solverstate"), commit=None)
        )
        Path("x.netc.json").write_bytes(path.read_bytes())
        with pytest.raises(NetcError, match=message):
            solver_from().restore("x.solverstate")


def test_any_change_of_any_value_is_found(solver_from):
    """With the commit mark, also changes that keep types and ranges."""
    solver = solver_from(MORE)
    solver.step(3)
    path = sidecar_path(solver.snapshot())
    whole, generator = path.read_bytes(), random.Random(1)
    other = solver_from(MORE)
    for _ in range(100):
        at = generator.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << generator.randrange(8)]) + whole[at + 1 :])
        with pytest.raises(NetcError) as caught:
            other.restore("small_iter_3.solverstate")
        assert caught.value.diagnostics[0].code in ("E705", "E706")
    path.write_bytes(whole)
    other.restore("small_iter_3.solverstate")


def test_auto_passes_over_a_damaged_sidecar(solver_from):
    solver = solver_from(MORE)
    for _ in range(2):
        solver.step(1)
        solver.snapshot()
    path = Path("small_iter_2.netc.json")
    path.write_text(json.dumps(changed(json.loads(path.read_text()), "loss.losses", 3)))
    other = solver_from(MORE)
    assert other.checkpoints.restore_newest() == "small_iter_1.solverstate"
    (warning,) = [event for event in other.events if isinstance(event, events.WarningIssued)]
    assert warning.text == (
        "skipped `small_iter_2.solverstate`: `small_iter_2.netc.json` is damaged: `loss.losses` is 3, expected a list"
    )


def test_a_sidecar_of_format_2_is_still_read(solver_from):
    """The format of earlier versions, whose `model` is the CRC-32 of the weights; its snapshot has no commit mark."""
    whole = solver_from(MORE)
    whole.solve()
    first = solver_from(MORE)
    first.step(3)
    path = first.snapshot()
    files.write_solverstate(path, replace(files.read_solverstate(path), commit=None))
    content = json.loads(sidecar_path(path).read_text())
    del content["watch"]["tested"]
    old = {**content, "format": 2, "model": 0}
    sidecar_path(path).write_text(json.dumps(old))
    with pytest.raises(NetcError, match="belongs to another weights file") as caught:
        solver_from(MORE).restore(path)
    assert caught.value.diagnostics[0].code == "E705"
    sidecar_path(path).write_text(json.dumps({**old, "model": crc_of(first)}))
    second = solver_from(MORE)
    assert second.checkpoints.restore_newest() == path
    second.solve()
    assert all(one.data.equal(same.data) for one, same in zip(whole.net.blobs, second.net.blobs))


def crc_of(solver):
    from netc.runtime.net_weights import array_of
    from netc.training.snapshots.sidecar import checksum

    return checksum(array_of(blob.tensor, blob.shape) for blob in solver.net.blobs if blob.is_owner)


def test_a_layer_without_a_position_is_reported(solver_from, work):
    solver = solver_from()
    solver.step(3)
    path = solver.snapshot()
    net = work / "net.prototxt"
    net.write_text(net.read_text().replace('name: "digits"', 'name: "numbers"'))
    other = solver_from(base=SOLVER)
    other.restore(path)
    (warning,) = [event for event in other.events if isinstance(event, events.WarningIssued)]
    assert warning.text == "the snapshot has no position of layer `numbers`: it resumes where the iteration implies"
    assert other.state.train.feeds["numbers"].source.position == 18
