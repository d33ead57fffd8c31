"""Each trait of each registered layer, proved by what the layer does; where only Caffe's own code can tell, by a table
taken from Caffe's sources.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch

from netc.data import open_source
from netc.data.feeds.dummy_feed import DummyFeed
from netc.data.feeds.memory_feed import MemoryFeed
from netc.data.feeds.net_feeds import feeds_of
from netc.ir.layer import Count, DataLayer, Layer
from netc.ir.receptive_field import ReceptiveField
from netc.ir.traits import Traits
from netc.ir.transform import Transform
from netc.pycaffe.net_feeds import feeds_of as pycaffe_feeds_of
from tests.data.databases import database, random_images
from tests.layers.behavior import accepts, behavior, on_planes
from tests.layers.case import SEQUENCE, TYPES, Case, Source, alike, made
from tests.layers.cases import CASES, OWN

WRITERS = ("FLOWriter", "FloatWriter", "ImgWriter", "PFMWriter")

# Parameters that change a trait, beside those of the shared cases.
MORE = [
    alike("ReLU", 0.25),
    alike("ReLU", -0.5),
    alike("ELU", -0.5),
    alike("Power", 1.0, -1.0),
    alike("Power", 1.0, 0.5, 1.0),
    alike("Power", 1.0, 0.5),
    alike("Power"),
    alike("Power", 3.0),
    alike("Power", 0.0, 2.0, 1.0),
    alike("Dropout", 0.3, scale_train=False),
    alike("Dropout", 0.3, sample_weights_test=True),
    alike("BatchNorm", True, eps=0.01),
    Case(made("Eltwise", "PROD"), ((2, 3, 4),) * 3, ((5, 2),) * 3),
    Case(made("Eltwise", "PROD", stable_prod_grad=False), ((2, 3, 4),) * 3, ((5, 2),) * 3),
    Case(made("Eltwise", "MAX"), ((2, 3, 4),) * 3, ((5, 2),) * 3),
    Case(made("LSTM", 2), SEQUENCE[0][:2], SEQUENCE[1][:2], integers=(1,)),
    Case(made("RNN", 2), SEQUENCE[0][:2], SEQUENCE[1][:2], integers=(1,)),
    Case(made("HDF5Output", "scores.h5"), ((4, 5), (4,)), ((3, 5), (3,)), integers=(1,)),
    *(
        Case(made(name, folder="written"), ((2, c, 3, 4),), ((1, c, 4, 5),), source=Source())
        for name, c in zip(WRITERS, (2, 4, 3, 1))
    ),
    Case(made("LRN", 3, 0.7, norm_region="WITHIN_CHANNEL"), ((1, 2, 9, 8),), ((2, 2, 8, 9),)),
    Case(made("MVN"), ((1, 2, 5, 4),), ((2, 2, 8, 9),)),
    Case(made("Softmax", 2), ((1, 2, 5, 4),), ((2, 2, 8, 9),)),
    Case(made("Pooling", "AVE"), ((1, 2, 5, 4),), ((2, 2, 8, 9),)),
    Case(made("ArgMax"), ((2, 3, 5),), ((2, 3, 6),)),
    Case(made("Embed", 3, 5), ((2, 3, 4),), ((2, 3, 5),), integers=(0,), below=5),
    Case(made("Filter"), ((5, 3, 4), (5,)), ((4, 2, 3), (4,)), integers=(1,)),
    Case(made("BatchReindex"), ((4, 3, 6), (5,)), ((3, 5, 2), (2,)), integers=(1,), below=3),
    Case(made("Reshape", (0, 2, 8, 4)), ((1, 2, 4, 8),), ((2, 2, 4, 8),)),
    Case(made("Accuracy", 2), ((4, 5, 3), (4, 3)), ((2, 5, 4), (2, 4)), integers=(1,), below=5),
    Case(made("ContrastiveLoss", 2.0), ((6, 4, 1, 1), (6, 4, 1, 1), (6,)), ((3, 5), (3, 5), (3,)), integers=(2,)),
    Case(made("HingeLoss"), ((4, 5, 3), (4,)), ((2, 5, 4), (2,)), integers=(1,), below=15),
    Case(made("MultinomialLogisticLoss"), ((8, 1, 3), (8,)), ((2, 5, 4), (2,)), integers=(1,), below=3, positive=True),
    Case(made("SigmoidCrossEntropyLoss"), ((2, 3, 4), (2, 3, 4)), ((2, 3, 2), (2, 3, 2)), held=(1,)),
    Case(made("Reduction", "SUM", 3), ((1, 2, 3, 4),), ((2, 2, 4, 8),)),
    Case(made("Convolution", 2, (3,), axis=2), ((1, 2, 3, 5, 4),), ((2, 2, 3, 6, 4),)),
    Case(made("Convolution", 2, (3,), (1,), (2,), (2,)), ((1, 2, 6, 5),), ((2, 2, 6, 4),)),
]
ALL = [*CASES, *MORE]
RUN = pytest.mark.parametrize("case", ALL, ids=lambda case: case.layer.type)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# ---------------------------------------------------------------------- what Caffe's sources alone can tell

BVLC = frozenset(
    """AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop Data
    Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss
    Im2col ImageData InfogainLoss InnerProduct Input LRN LSTM LSTMUnit Log MVN MemoryData MultinomialLogisticLoss PReLU
    Parameter Pooling Power Python RNN ReLU Reduction Reshape SPP Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice
    Softmax SoftmaxWithLoss Split Swish TanH Threshold Tile WindowData""".split()
)
"""REGISTER_LAYER_CLASS and REGISTER_LAYER_CREATOR in BVLC Caffe's `src/caffe/layers` and `layer_factory.cpp`."""

BACKWARD_WITHOUT_BOTTOM: dict[str, Callable[[Layer], bool]] = {
    "BatchNorm": lambda layer: True,  # batch_norm_layer.cpp: keeps x_norm_
    "Bias": lambda layer: True,  # bias_layer.cpp: a gradient of 1
    "Dropout": lambda layer: True,  # dropout_layer.cpp: reads rand_vec_
    "ELU": lambda layer: layer.alpha >= 0,  # elu_layer.cpp: the sign of bottom_data, and top_data
    "Exp": lambda layer: True,  # exp_layer.cpp: top_data
    "PReLU": lambda layer: True,  # prelu_layer.cpp: keeps bottom_memory_ in place
    "Power": lambda layer: layer.power == 1 or layer.power * layer.scale == 0,  # power_layer.cpp: a constant
    "ReLU": lambda layer: layer.negative_slope >= 0,  # relu_layer.cpp: the sign of bottom_data
    "Scale": lambda layer: True,  # scale_layer.cpp: keeps temp_ in place
    "Sigmoid": lambda layer: True,  # sigmoid_layer.cpp: top_data
    "Softmax": lambda layer: True,  # softmax_layer.cpp: top_data
    "Swish": lambda layer: True,  # swish_layer.cpp: top_data and sigmoid_output_
    "TanH": lambda layer: True,  # tanh_layer.cpp: top_data
    "Threshold": lambda layer: True,  # threshold_layer.hpp: no backward pass
}
"""Types whose Backward_cpu needs nothing that an in-place forward pass overwrites."""

BACKWARD_READS_TOP: dict[str, Callable[[Layer], str]] = {
    "ELU": lambda layer: "values",  # elu_layer.cpp: top_data + alpha
    "Eltwise": lambda layer: "values" if layer.operation == "PROD" and not layer.stable_prod_grad else "",
    "Exp": lambda layer: "values",  # exp_layer.cpp: caffe_mul(top_data, top_diff)
    "LRN": lambda layer: "values",  # lrn_layer.cpp, CrossChannelBackward_cpu: top_data / scale_data
    "LSTM": lambda layer: "values",  # lstm_layer.cpp: the unrolled net's LSTMUnit layers
    "LSTMUnit": lambda layer: "values",  # lstm_unit_layer.cpp: C and H
    "MVN": lambda layer: "values",  # mvn_layer.cpp: caffe_mul(top_data, top_diff)
    "Power": lambda layer: "" if layer.power * layer.scale == 0 or layer.power in (1, 2) else "values",
    "RNN": lambda layer: "values",  # rnn_layer.cpp: TanH layers
    "Sigmoid": lambda layer: "values",
    "Softmax": lambda layer: "values",
    "Swish": lambda layer: "values",
    "TanH": lambda layer: "values",
}
"""Types whose Backward_cpu reads top_data, where the layer does not run in place."""

KEEPS_WHAT_IT_STILL_READS = {
    "BN": "bn_layer.cpp of each fork: as BatchNorm",
    "BatchNorm": "batch_norm_layer.cpp: means and variances are computed before top_data is written",
    "GRN": "grn_layer.cpp: norms are computed before top_data is written",
    "LRN": "lrn_layer.cpp: scale_ is computed before top_data is written",
    "MVN": "mvn_layer.cpp: mean_ and variance_ are computed first",
    "Normalize": "normalize_layer.cpp: norms are computed before top_data is written",
    "SimpleNormalize": "simplenormalize_layer.cpp: as Normalize",
    "Softmax": "softmax_layer.cpp: scale_ is computed from a copy in top_data",
    "SyncBN": "sync_bn_layer.cpp: as BatchNorm",
}
"""Types that join several places and keep their shape, and may be run in place nevertheless."""

NETS_END_IN = frozenset(("ArgMax", "Sigmoid", "Softmax"))
"""Layers after which the deploy nets of Caffe's model zoo end, beside inner products and convolutions."""
NETS_GO_ON_AFTER = frozenset(
    """AbsVal BatchNorm Bias Concat Dropout ELU Eltwise LRN MVN Pooling PReLU ReLU Scale Slice TanH""".split()
)
"""Layers after which none of them ends."""
WITHOUT_TOPS = {"HDF5Output": (0, 1), "Silence": (), **dict.fromkeys(WRITERS, (0,))}
"""Bottoms without a gradient of types that have no top: `hdf5_output_layer.cpp` returns, `silence_layer.cpp` sets 0,
FlowNet2's writers have no backward pass.
"""


# ---------------------------------------------------------------------- one trait each


def check_no_gradient(case):
    layer, count = case.layer, len(case.first)
    most = layer.bottom_count.most(count)
    assert all(-count <= index < most for index in layer.no_gradient)
    never = {index % count for index in layer.no_gradient if index < count}
    if layer.top_count == Count(0):
        assert layer.no_gradient == WITHOUT_TOPS[layer.type]
        return
    found = {index for index, reached in enumerate(behavior(case).gradients) if not reached}
    assert never == found - (set(case.held) if layer.type in ("LSTM", "RNN") else set())


def check_indices(case):
    """tests/runtime/test_dtypes.py measures them; without bottoms or tops there is nothing to measure."""
    if not case.first or case.layer.top_count == Count(0):
        assert case.layer.indices == ()


def check_loss_and_role(case):
    layer, found = case.layer, behavior(case)
    is_loss = found.is_scalar or (case.source is not None and case.source.is_loss)
    reached = is_loss and any(found.gradients)
    assert layer.is_loss == reached
    assert not layer.is_data
    role = "score" if layer.type in NETS_END_IN else "inner" if layer.type in NETS_GO_ON_AFTER else ""
    if case.source is not None:
        role = case.source.role
    if found.is_scalar and not reached:
        role = "metric"
    if not found.tops:
        found.run()
        role = "" if any(Path.cwd().iterdir()) else "sink"
    assert layer.role == role


@RUN
@pytest.mark.slow
def test_in_place(case):
    layer, found = case.layer, behavior(case)
    told = BACKWARD_WITHOUT_BOTTOM.get(layer.type, lambda layer: False)(layer)
    assert layer.in_place == (told if case.source is None else case.source.in_place)
    assert layer.shares_memory == found.shares_memory
    measured = found.rearranges
    assert layer.rearranges == (layer.type not in KEEPS_WHAT_IT_STILL_READS if measured is None else measured)


def check_reads_top(case):
    layer, source = case.layer, case.source
    if source is not None:
        assert layer.reads_top(in_place=False) == source.reads_top
        again = source.reads_top if source.reads_top_in_place is None else source.reads_top_in_place
        assert layer.reads_top(in_place=True) == again
        return
    apart = BACKWARD_READS_TOP.get(layer.type, lambda layer: "")(layer)
    assert layer.reads_top(in_place=False) == apart
    # relu_layer.cpp reads the sign of bottom_data, which is the top's memory in place
    assert layer.reads_top(in_place=True) == ("sign" if layer.type == "ReLU" else apart)


def check_keeps_sign(case):
    assert case.layer.keeps_sign == behavior(case).keeps_sign


def check_memory(case):
    layer, found = case.layer, behavior(case)
    assert layer.overwritable == found.is_overwritable
    assert layer.overwrites == found.overwrites
    assert layer.top_is_blob == found.top_is_blob


def check_carries_state(case):
    assert case.layer.carries_state == behavior(case).carries_state


def check_shares_values(case):
    if case.layer.shares_values:
        found = behavior(case)
        assert found.is_identity
        assert {top.data_ptr() for top in found.run()} == {found.bottoms[0].data_ptr()}
        assert len(case.layer.infer(((2, 3),), 3)) == 3


def check_is_identity_in_test(case):
    assert case.layer.is_identity_in_test == behavior(case).is_identity


def check_elements(case):
    assert case.layer.elements == behavior(case).elements


def check_affine(case):
    assert case.layer.affine == behavior(case).is_affine


def check_batch_statistics_and_frozen(case):
    layer, found = case.layer, behavior(case)
    if getattr(layer, "use_global_stats", None) is None:
        assert layer.batch_statistics == found.mixes_items
    assert layer.batch_statistics or all(weight.learnable for weight in layer.weights(case.first))
    frozen = dataclasses.replace(case, layer=layer.frozen())
    if frozen == case and found.mixes_items_in_test:
        return  # there is nothing that could be frozen
    assert (frozen == case) == (not found.mixes_items)
    assert not behavior(frozen).mixes_items
    assert all(torch.equal(before, after) for before, after in behavior(frozen).buffers_after_training())


def check_label_shape(case):
    layer, scores = case.layer, (4, 5, 3, 2)
    rest = case.first[2:]
    by_place, by_element = (4, 3, 2), scores
    expected = None
    if len(case.first) > 1 and behavior(case).is_scalar:
        if accepts(layer, scores, by_place, *rest) and accepts(layer, scores, (4, 2, 3), *rest):
            expected = by_place
        if accepts(layer, scores, by_element, *rest) and accepts(layer, scores, (4, 2, 3, 5), *rest):
            expected = by_element
    assert layer.label_shape(scores) == expected
    if expected == by_place and hasattr(layer, "axis"):
        assert dataclasses.replace(layer, axis=-1).label_shape(scores) == (4, 5, 3)
        assert dataclasses.replace(layer, axis=4).label_shape(scores) is None


PLACES_LOST: dict[str, Callable[[Layer], bool]] = {
    "ArgMax": lambda layer: layer.axis is None,
    "Convolution": lambda layer: layer.axis != 1,
    "Embed": lambda layer: True,
    "Reduction": lambda layer: layer.axis > 2,
    "Reshape": lambda layer: True,
    "Softmax": lambda layer: layer.axis > 1,
}
"""Types whose places follow from parameters, and where the field is not known."""


@RUN
@pytest.mark.slow
def test_receptive_field(case):
    """From fields of one element, 1 apart: the spans and distances that perturbed elements show."""
    if behavior(case).mixes_items_in_test:
        return  # moments of the whole batch are not counted, as in training
    case = on_planes(case)
    layer, found = case.layer, behavior(case)
    if found.top is None or not case.first:
        assert layer.sees == "unknown"
        return
    bottoms = [shape for shape in case.first if len(shape) > 2]
    if len(case.first[0]) < 3:
        return
    declared = layer.receptive_field([(ReceptiveField(),) * (len(s) - 2) for s in bottoms], bottoms, found.top.shape)
    if declared is None and case.source and case.source.places_lost:
        return
    if not found.influence.any():
        return
    if len(found.top.shape) < 3:  # no place is left: what is computed from all of them
        assert [field.size for field in declared] == list(case.first[0][2:])
        return
    if declared is None:
        axes_moved = layer.elements == "moved" and all(jump is None for _, jump in found.field or ())
        assert axes_moved or (case.source.places_lost if case.source else PLACES_LOST[layer.type](layer))
        return
    assert found.field is not None
    if case.source and case.source.places_lost:  # all places that values may choose
        assert all(field.size >= size for field, (size, _) in zip(declared, found.field))
        return
    assert [field.size for field in declared] == [size for size, _ in found.field]
    for field, (_, jump) in zip(declared, found.field):
        assert jump is None or field.jump / field.jump_divisor == pytest.approx(jump, rel=0.06)


CHECKS = [
    check_no_gradient,
    check_indices,
    check_loss_and_role,
    check_reads_top,
    check_keeps_sign,
    check_memory,
    check_carries_state,
    check_shares_values,
    check_is_identity_in_test,
    check_elements,
    check_affine,
    check_batch_statistics_and_frozen,
    check_label_shape,
]


@RUN
def test_traits(case):
    for check in CHECKS:
        check(case)


def test_every_type_is_covered():
    asked = {case.layer.type for case in ALL}
    data = {name for name, cls in TYPES.items() if issubclass(cls, DataLayer)}
    assert asked | data | set(OWN) == set(TYPES)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_dialect_and_data(name):
    cls = TYPES[name]
    assert (cls.dialect == "") == (name in BVLC)
    assert cls.is_data == hasattr(cls, "batch")
    assert (cls.fed_by != "") == cls.is_data


# ---------------------------------------------------------------------- what no case runs

NEUTRAL = {name: value for name, value in vars(Traits).items() if not name.startswith("_") and not callable(value)}


@pytest.mark.parametrize("name", [name for name, cls in TYPES.items() if cls.is_data or name == "Python"])
def test_types_that_are_not_run_have_no_other_traits(name):
    cls = TYPES[name]
    differing = {trait for trait, value in NEUTRAL.items() if getattr(cls, trait) != value}
    assert differing == ({"is_data", "fed_by"} if cls.is_data else {"role"})
    inherited = (name for name, value in vars(Traits).items() if callable(value))
    assert all(getattr(cls, method) is getattr(Traits, method) for method in inherited)


def test_a_python_layer_is_opaque():
    layer = made("Python", "module", "Class")
    assert layer.infer(((2, 3),), 2) == (None, None)
    assert layer.role == "opaque"


def _files(folder: Path) -> dict[str, Layer]:
    """Data layers that read records, each with its own kind of source."""
    for i, image in enumerate(random_images(3, (3, 20, 20))):
        cv2.imwrite(str(folder / f"{i}.png"), image.transpose(1, 2, 0))
    (folder / "list.txt").write_text("".join(f"{folder}/{i}.png {i}\n" for i in range(3)))
    (folder / "windows.txt").write_text(f"# 0\n{folder}/0.png\n3\n20\n20\n2\n7 0.9 2 2 12 12\n2 0.1 5 5 15 15\n")
    with h5py.File(folder / "rows.h5", "w") as file:
        file["a"], file["b"] = np.zeros((4, 2, 5), np.float32), np.arange(4, dtype=np.float32)
    (folder / "files.txt").write_text(f"{folder}/rows.h5\n")
    database(folder / "db", random_images(3, (3, 7, 9)))
    return {
        "Data": made("Data", 2, source=str(folder / "db"), backend="LMDB"),
        "ImageData": made("ImageData", 2, source=str(folder / "list.txt")),
        "WindowData": made("WindowData", 2, Transform(crop_size=8), source=str(folder / "windows.txt")),
        "HDF5Data": made("HDF5Data", str(folder / "files.txt"), 2),
    }


@pytest.mark.parametrize("name", ["Data", "ImageData", "WindowData", "HDF5Data"])
def test_records_are_opened_according_to_the_type(tmp_path, name):
    layer = _files(tmp_path)[name]
    source = open_source(layer, "TEST", tops=("a", "b"))
    try:
        tops = source.next_batch().tops
        assert tuple(tuple(top.shape) for top in tops[:2]) == layer.batch(source.record_shapes, 2)
    finally:
        source.close()


@pytest.mark.parametrize("name", ["DummyData", "Input", "MemoryData"])
def test_a_filler_or_a_program_feeds_the_others(graph_from, name):
    more = {
        "DummyData": "dummy_data_param { shape { dim: 2 } }",
        "Input": "input_param { shape { dim: 2 } }",
        "MemoryData": 'top: "label" memory_data_param { batch_size: 2 channels: 1 height: 1 width: 1 }',
    }[name]
    graph = graph_from(f'layer {{ name: "d" type: "{name}" top: "data" {more} }}')
    feeds = feeds_of(graph, torch.device("cpu"), 0)
    assert [type(feed) for feed in feeds.values()] == ([DummyFeed] if name == "DummyData" else [])
    expected = {"DummyData": [DummyFeed], "MemoryData": [MemoryFeed], "Input": []}[name]
    assert [type(feed) for feed in pycaffe_feeds_of(graph).values()] == expected
