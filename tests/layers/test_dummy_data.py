import dataclasses

import pytest

from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Cost
from netc.layers.dummy_data import DummyData
from tests.layers.contract import raises, v1_name
from tests.layers.harness import layer_from

GAUSS, SEVEN = Filler("gaussian", std=0.5), Filler(value=7.0)


def made(**values) -> DummyData:
    """The layer of values as `to_caffe` gives them: messages as dicts or Fillers."""

    def fields(one) -> object:
        if isinstance(one, Filler):
            return Fields({f.name: getattr(one, f.name) for f in dataclasses.fields(one)})
        return Fields(one) if isinstance(one, dict) else one

    return layer_from("DummyData", **{name: [fields(one) for one in value] for name, value in values.items()})


@pytest.mark.parametrize(
    "layer",
    [
        DummyData(((2, 3), ()), (GAUSS, SEVEN)),
        DummyData(((2, 3),), (GAUSS,)),
        DummyData(data_filler=(SEVEN,), num=(2, 4), channels=(3,), height=(5,), width=(6, 7)),
        DummyData(),
    ],
)
def test_files(layer):
    assert made(**layer.to_caffe()) == layer


def test_one_applies_to_all_tops():
    layer = DummyData(((2, 3),), (GAUSS,))
    assert layer.batch(None, 3) == ((2, 3),) * 3
    assert layer.fillers(3) == (GAUSS,) * 3
    assert layer.refill(3) == (True, True, True)


def test_one_per_top():
    layer = DummyData(((2, 3), (), (4,)), (GAUSS, SEVEN, GAUSS))
    assert layer.batch(None, 3) == ((2, 3), (), (4,))
    assert layer.fillers(3) == (GAUSS, SEVEN, GAUSS)
    assert layer.refill(3) == (True, False, True)
    assert DummyData(((2,),)).fillers(2) == (Filler("constant", value=0.0),) * 2


def test_the_older_spelling():
    layer = DummyData(num=(2, 4), channels=(3,), height=(5,), width=(6, 7))
    assert layer.batch(None, 2) == ((2, 3, 5, 6), (4, 3, 5, 7))


def test_names_and_cost():
    assert v1_name("DummyData") == "DUMMY_DATA"
    assert DummyData().cost((), ((2, 3),)) == Cost()
    assert DummyData.is_data


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (DummyData(), "expected 1 value of `shape`, or one for each of 3 tops, got 0"),
        (DummyData(((2,), (3,))), "expected 1 value of `shape`, or one for each of 3 tops, got 2"),
        (DummyData(((2,),), (GAUSS, SEVEN)), "expected 1 value of `data_filler`, or one for each of 3 tops, got 2"),
        (
            DummyData(num=(2,), channels=(3,), height=(5, 6), width=(7,)),
            "expected 1 value of `height`, or one for each of 3 tops, got 2",
        ),
        (
            DummyData(num=(2,), channels=(3,), height=(5,)),
            "expected 1 value of `width`, or one for each of 3 tops, got 0",
        ),
    ],
)
def test_counts_that_do_not_fit(layer, text):
    with raises("E101", text):
        layer.batch(None, 3)


def test_parameters_that_do_not_fit():
    with raises("E101", "`shape` and `num`, `channels`, `height`, `width` exclude each other"):
        made(shape=[{"dim": [2]}], width=[3])
    with raises("E103", "unknown filler type `gauss`"):
        made(shape=[{"dim": [2]}], data_filler=[{"type": "gauss"}])
