"""Starting from another net's weights: by name, renamed, in part; layers that stay as they are."""

from pathlib import Path

import pytest
import torch

from netc.diagnostics import NetcError
from netc.training.log import events
from netc.training.log.caffe_log import lines
from tests.training.conftest import NET


@pytest.fixture
def trained(solver_from, work):
    """Weights of the net after three iterations, as `record.caffemodel`."""
    solver = solver_from()
    solver.step(3)
    solver.snapshot()
    (work / "small_iter_3.caffemodel").rename(work / "record.caffemodel")
    return solver


def other_net(work, *changes):
    text = NET
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (work / "net.prototxt").write_text(text)


FROM = 'weights: "record.caffemodel" '


def blob(solver, layer, index=0):
    return next(b for b in solver.net.blobs if (b.layer, b.index) == (layer, index)).data


def test_renamed_layers_are_copied(trained, solver_from, work):
    other_net(work, ('name: "ip"', 'name: "fc"'), ('name: "conv"', 'name: "conv1"'))
    test = "test_iter: 1 test_interval: 9 "
    solver = solver_from(FROM + test + 'netc_param { rename: "ip=fc" rename: "conv=conv1" }')
    assert torch.equal(blob(solver, "fc"), blob(trained, "ip"))
    assert torch.equal(blob(solver, "conv1", 1), blob(trained, "conv", 1))
    train, _ = [e for e in solver.events if isinstance(e, events.FinetuningLoaded)]
    assert (train.loaded, train.skipped, train.missing) == (("conv1", "bn", "fc"), (), ())


def test_names_can_be_swapped(trained, solver_from, work):
    """A layer of the file that has the new name already is another layer, and is passed over."""
    other_net(
        work, ('name: "ip"', 'name: "conv"'), ('name: "conv" type: "Convolution"', 'name: "c" type: "Convolution"')
    )
    solver = solver_from(FROM + 'netc_param { rename: "ip=conv" rename: "conv=c" }')
    assert torch.equal(blob(solver, "conv"), blob(trained, "ip"))
    assert torch.equal(blob(solver, "c"), blob(trained, "conv"))


@pytest.mark.parametrize(
    ("rename", "message", "help"),
    [
        ("cnov=ip", "`record.caffemodel` has no layer `cnov` to rename", "did you mean `conv`?"),
        (
            "conv=ipp",
            "no layer `ipp` with weights in the net, for `conv` of `record.caffemodel`",
            "did you mean `ip`?",
        ),
    ],
)
def test_unknown_names(trained, solver_from, rename, message, help):
    with pytest.raises(NetcError) as caught:
        solver_from(f'{FROM} netc_param {{ rename: "{rename}" }}')
    (found,) = caught.value.diagnostics
    assert (found.code, found.message, found.help) == ("E610", message, help)


def test_mismatched_layers_are_reinitialized_if_allowed(trained, solver_from, work):
    other_net(work, ("num_output: 4", "num_output: 7"))
    with pytest.raises(NetcError, match="do not match") as caught:
        solver_from(FROM)
    assert caught.value.diagnostics[0].code == "E306"
    solver = solver_from(FROM + "netc_param { allow_mismatch: true }")
    assert torch.equal(blob(solver, "conv"), blob(trained, "conv"))
    assert blob(solver, "ip").shape == (7, 27)
    assert blob(solver, "ip").abs().sum() > 0


def test_the_report_is_a_table(trained, solver_from, work):
    other_net(work, ("num_output: 4", "num_output: 7"), ('name: "bn"', 'name: "norm"'))
    test = "test_iter: 1 test_interval: 9 "
    solver = solver_from(FROM + test + "netc_param { allow_mismatch: true }")
    said = [text for event in solver.events for place, text in lines(event) if place == "netc:1"]
    assert said == [
        "weights from record.caffemodel: 1 loaded, 1 skipped, 1 missing, 1 mismatched",
        "    loaded      conv",
        "    skipped     bn (not in the net)",
        "    missing     norm (starts from its fillers)",
        "    mismatched  ip: [4,27] [4] in the file, [7,27] [7] in the net (starts from its fillers)",
    ]


def test_frozen_layers_do_not_change(trained, solver_from, work):
    solver = solver_from(FROM + 'netc_param { freeze: "c*" freeze: "bn" }')
    before = [b.data.clone() for b in solver.net.blobs]
    solver.step(3)
    changed = {b.layer for b, old in zip(solver.net.blobs, before) if not torch.equal(b.data, old)}
    assert changed == {"ip"}
    assert all(b.tensor.grad is None for b in solver.net.blobs if b.layer == "conv")
    solver.snapshot()
    text = Path("small_iter_3.caffemodel").read_bytes()
    assert b"bn" in text, "the file has the layers as the net's file has them"


def test_a_pattern_that_matches_nothing(solver_from):
    with pytest.raises(NetcError, match=r"no layer with weights matches `cnov\*`") as caught:
        solver_from('netc_param { freeze: "conv" freeze: "cnov*" }')
    (found,) = caught.value.diagnostics
    assert (found.code, found.notes) == ("E610", ("layers with weights: `conv`, `bn`, `ip`",))
