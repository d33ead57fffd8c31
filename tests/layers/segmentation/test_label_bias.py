"""BiasChannel, AdaptiveBiasChannel and UniqueLabel, compared with transcriptions image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import netc
from netc.diagnostics import NetcError, Source
from netc.ir.dims import UNKNOWN
from netc.layers.segmentation.label_bias import AdaptiveBiasChannel, BiasChannel, UniqueLabel
from tests.layers import case as cases
from tests.layers.case import Case
from tests.layers.contract import raises, round_trip, traces, values
from tests.layers.harness import layer_from, run

LISTED = ((2, 3, 2, 4), (2, 2, 1, 1)), ((1, 4, 3, 3), (1, 3, 1, 1))
PIXELS = ((2, 3, 2, 4), (2, 1, 2, 4)), ((1, 4, 3, 3), (1, 1, 3, 3))
REQUIRED = {"UniqueLabel": "max_labels: 4"}
CASES = [
    Case(BiasChannel(0.5, 3.0), *LISTED, integers=(1,), below=3, source=cases.Source(in_place=True)),
    Case(BiasChannel(0.5, 3.0, label_type="PIXEL", background_label=1), *PIXELS, integers=(1,), below=3,
         source=cases.Source(in_place=True)),
    Case(AdaptiveBiasChannel(2, 0.3, 0.6), *LISTED, integers=(1,), below=2, source=cases.Source(places_lost=True)),
    Case(UniqueLabel(4, (1,)), ((2, 1, 2, 4),), ((1, 1, 3, 3),), integers=(0,), below=4, source=cases.Source()),
]  # fmt: skip


def test_bias_of_listed_labels():
    x = values(2, 4, 3, 5).numpy()
    labels = np.array([[2.0, 0, 2, -1], [3, 1, -1, 5]]).reshape(2, 4, 1, 1)
    expected = x.copy()
    for n, listed in enumerate(labels.reshape(2, 4).astype(int)):
        for label in listed:
            if label not in (-1, 5):
                expected[n, label] += 0.5 if label == 0 else 3
    layer = round_trip("BiasChannel", bg_bias=0.5, fg_bias=3, ignore_label=[5])
    np.testing.assert_allclose(run(layer, x, labels)[0], expected)


@pytest.mark.parametrize("fields", [{"bg_bias": 0.5}, {"background_label": 2}, {}])
def test_bias_of_pixels(fields):
    x = values(2, 4, 3, 5).numpy()
    labels = np.random.default_rng(3).choice([0, 1, 2, 3, 255], (2, 1, 3, 5)).astype(np.float64)
    background = fields.get("background_label", 0 if fields else None)
    expected = x.copy()
    for n, h, w in np.ndindex(2, 3, 5):
        label = int(labels[n, 0, h, w])
        if label == 255:
            continue
        if background is not None:
            expected[n, background, h, w] += fields.get("bg_bias", 1.0)
        if label != background:
            expected[n, label, h, w] += 2
    layer = layer_from("BiasChannel", label_type="PIXEL", ignore_label=[255], **fields)
    np.testing.assert_allclose(run(layer, x, labels)[0], expected)


def adapted(layer, x, labels):
    """One image; at most one label besides the background, so that the order is not random."""
    x, present = x.reshape(len(x), -1).copy(), sorted({int(label) for label in labels if label >= 0})
    if not present:
        return x
    if layer.suppress_others:
        lowest = x[present].min(0)
        for c in set(range(len(x))) - set(present):
            x[c] = np.where(x[c] > lowest, lowest - layer.margin_others, x[c])
    highest = x[present].max(0)
    before = highest.mean()
    for _ in range(layer.num_iter):
        for label in present:
            portion = layer.bg_portion if label == 0 else layer.fg_portion
            place = min(int(portion * x.shape[1]), x.shape[1] - 1)
            x[label] += np.sort(highest - x[label])[place]
            highest = np.maximum(highest, x[label])
    return x + before - highest.mean()


@pytest.mark.parametrize("portion", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("suppress", [True, False])
def test_adaptive_bias(portion, suppress):
    x = values(4, 4, 3, 5).numpy()
    labels = np.array([[0.0, 2], [-1, 3], [-1, -1], [1, -1]]).reshape(4, 2, 1, 1)
    fields = {"num_iter": 3, "bg_portion": portion, "fg_portion": 0.4, "suppress_others": suppress}
    layer = round_trip("AdaptiveBiasChannel", **fields)
    (top,) = run(layer, x, labels)
    for n in range(4):
        np.testing.assert_allclose(top[n].reshape(4, -1), adapted(layer, x[n], labels[n].ravel()), atol=1e-9)


def test_several_labels_are_adapted_in_some_order():
    x, labels = values(1, 4, 3, 5), torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1)
    found = set()
    for seed in range(20):
        torch.manual_seed(seed)
        found.add(tuple(run(AdaptiveBiasChannel(fg_portion=0.5), x, labels)[0].ravel().round(6)))
    assert 1 < len(found) <= 6


def test_unique_labels():
    labels = np.random.default_rng(3).choice([0, 1, 2.5, 7, 255], (3, 1, 3, 5)).astype(np.float64)
    labels[2] = 255
    layer = round_trip("UniqueLabel", max_labels=6, ignore_label=[255, 7], force_label=[7, 9])
    (top,) = run(layer, labels)
    for n in range(3):
        expected = sorted({*labels[n].ravel()} - {255.0, 7.0} | {7.0, 9.0})
        assert top[n].ravel().tolist() == [*expected, *[-1] * (6 - len(expected))]


def loaded(layer: str, *shapes: tuple[int, ...]):
    names = "ab"[: len(shapes)]
    inputs = "\n".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {extent}" for extent in shape)
        + " } } }"
        for name, shape in zip(names, shapes)
    )
    bottoms = " ".join(f'bottom: "{name}"' for name in names)
    return netc.load(Source("net", f'{inputs}\nlayer {{ name: "y" {bottoms} top: "y" {layer} }}'))


@pytest.mark.parametrize(
    ("text", "layer", "feeds"),
    [
        ("label outside 0 to 2", 'type: "BiasChannel"', [(1, 3, 2, 2), [[[[3.0]]]]]),
        ("label outside 0 to 2", 'type: "AdaptiveBiasChannel"', [(1, 3, 2, 2), [[[[3.0]]]]]),
        (
            "number of labels outside 0 to 2",
            'type: "UniqueLabel" unique_label_param { max_labels: 2 }',
            [[[[[1.0, 2, 3]]]]],
        ),
    ],
)
def test_labels_that_do_not_fit_are_errors(text, layer, feeds):
    given = [torch.zeros(feed) if isinstance(feed, tuple) else torch.tensor(feed) for feed in feeds]
    with pytest.raises(NetcError, match=text) as caught:
        loaded(layer, *(tuple(feed.shape) for feed in given))(*given)
    assert caught.value.diagnostics[0].code == "E301"


@pytest.mark.parametrize(
    ("code", "text", "type", "fields"),
    [
        ("E103", "`bg_bias` is -1: it must be 0 or more", "BiasChannel", {"bg_bias": -1}),
        ("E103", "`num_iter` is 0", "AdaptiveBiasChannel", {"num_iter": 0}),
        ("E103", "`fg_portion` is 1.5: it must be from 0 to 1", "AdaptiveBiasChannel", {"fg_portion": 1.5}),
        ("E103", "`margin_others` is -1", "AdaptiveBiasChannel", {"margin_others": -1}),
        ("E101", "`max_labels` is missing", "UniqueLabel", {}),
        ("E103", "must exceed the number of forced labels", "UniqueLabel", {"max_labels": 1, "force_label": [3, 3]}),
    ],
)
def test_invalid_fields(code, text, type, fields):
    with raises(code, text):
        layer_from(type, **fields)


def test_shapes_and_traces():
    unknown = (UNKNOWN, 3, 4, UNKNOWN)
    assert repr(BiasChannel().infer((unknown, (2, 5, 1, UNKNOWN)), 1)) == "((?, 3, 4, ?),)"
    assert UniqueLabel(3).infer(((2, 1, UNKNOWN, 5),), 1) == ((2, 3, 1, 1),)
    traces(BiasChannel(), values(1, 3, 2, 2), torch.ones(1, 2, 1, 1))
    traces(UniqueLabel(3), torch.ones(1, 1, 2, 2))
    for layer, text, bottoms in (
        (BiasChannel(), "expected bottoms with 4 axes", ((2, 3), (2, 1))),
        (BiasChannel(label_type="PIXEL"), "expected labels", ((2, 3, 4, 5), (2, 1, 1, 1))),
        (AdaptiveBiasChannel(), "at least 2 classes, got 1", ((2, 1, 4, 5), (2, 1, 1, 1))),
        (AdaptiveBiasChannel(), "got .* and .2,1.", ((2, 3, 4, 5), (2, 1))),
        (UniqueLabel(3), "got .2,3,4,5.", ((2, 3, 4, 5),)),
    ):
        with raises("E102", text):
            layer.infer(bottoms, 1)
    with raises("E103", "`background_label` 3 is not one of 3 classes"):
        BiasChannel(background_label=3, label_type="PIXEL").infer(((2, 3, 4, 5), (2, 1, 4, 5)), 1)
