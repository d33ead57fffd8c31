import math

import pytest
import torch

from netc.diagnostics import NetcError
from netc.training.solver.loss_meter import LossMeter


def parts(*values):
    return [torch.tensor(value) for value in values]


def test_the_mean_of_the_last_window():
    meter, losses = LossMeter(3, ["loss"]), [4.0, 2.0, 9.0, 1.0, 7.0]
    for iteration, loss in enumerate(losses):
        meter.add(iteration, parts(loss))
        window = losses[max(0, iteration - 2) : iteration + 1]
        assert meter.value() == pytest.approx(sum(window) / len(window))


def test_the_parts_add_up():
    meter = LossMeter(1, ["a", "b"])
    meter.add(0, parts(1.5, 0.25))
    assert meter.value() == 1.75


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_names_iteration_and_blob(bad):
    meter = LossMeter(1, ["loss1", "loss2"])
    meter.add(0, parts(1.0, 1.0))
    with pytest.raises(NetcError, match=f"the loss is {bad:g} in iteration 1: blob `loss2`") as caught:
        meter.add(1, parts(1.0, bad))
    assert caught.value.diagnostics[0].code == "E701"


def test_a_device_is_read_only_on_demand():
    meter = LossMeter(1, ["loss"])
    meter.add(0, [torch.empty((), device="meta")])  # whose values cannot be read
    with pytest.raises((NotImplementedError, RuntimeError)):
        meter.value()
    meter.restart(0)
    meter._pending = [(iteration, torch.tensor([loss])) for iteration, loss in enumerate([1.0, math.nan, 2.0])]
    with pytest.raises(NetcError, match="iteration 1"):
        meter.flush()


def test_a_restored_meter_continues():
    one, other = LossMeter(2, ["loss"]), LossMeter(2, ["loss"])
    one.restart(5)
    for iteration, loss in ((5, 1.0), (6, 2.0), (7, 5.0)):
        one.add(iteration, parts(loss))
    other.restore(one.state())
    for meter in (one, other):
        meter.add(8, parts(3.0))
    assert one.value() == other.value() == 4.0
    one.restart(9)
    one.add(9, parts(8.0))
    assert one.value() == 8.0
