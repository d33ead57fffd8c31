import pytest

from netc.ir.box_sampling import BatchSampler, EmitConstraint, PartConstraint, PartShape
from netc.ir.layer import Cost
from netc.ir.transform import Transform
from netc.layers.detection.annotated_data import AnnotatedData, YoloAnnotatedData
from tests.layers.contract import raises, round_trip
from tests.layers.harness import layer_from

SOURCE = {"source": "db", "batch_size": 5, "backend": "LMDB"}
SAMPLER = {
    "use_original_image": False,
    "sampler": {"min_scale": 0.5, "max_scale": 0.75, "min_aspect_ratio": 0.5, "max_aspect_ratio": 2.0},
    "sample_constraint": {"min_jaccard_overlap": 0.25, "max_sample_coverage": 0.75},
    "max_sample": 1,
    "max_trials": 50,
}
TRANSFORM = {
    "mirror": True,
    "resize_param": {"height": 30, "width": 24},
    "emit_constraint": {"emit_type": "MIN_OVERLAP", "emit_overlap": 0.5},
}


def made(sampler=None, transform=None, **changes):
    own = {"batch_sampler": [sampler]} if sampler is not None else {}
    message = {"data_param": {**SOURCE, **changes}, "annotated_data_param": own, "transform_param": transform or {}}
    return layer_from("AnnotatedData", **message)


def test_files():
    own = {"batch_sampler": [SAMPLER], "label_map_file": "labelmap.prototxt", "anno_type": "BBOX"}
    layer = round_trip("AnnotatedData", data_param=SOURCE, annotated_data_param=own, transform_param=TRANSFORM)
    constraint = PartConstraint(min_jaccard_overlap=0.25, max_sample_coverage=0.75)
    assert layer.batch_sampler == (BatchSampler(False, PartShape(0.5, 0.75, 0.5, 2.0), constraint, 1, 50),)
    assert layer.label_map_file == "labelmap.prototxt"
    assert layer.transform.emit_constraint == EmitConstraint("MIN_OVERLAP", 0.5)
    assert layer.to_caffe() == {"data_param": SOURCE, "annotated_data_param": own, "transform_param": TRANSFORM}
    assert layer.cost((), ((5, 3, 30, 24), (1, 1, 4, 8))) == Cost()
    assert made() == AnnotatedData(5, Transform(), "db", "LMDB")


def test_the_first_kind_of_overlap_counts():
    assert PartConstraint().limits is None
    assert PartConstraint(max_object_coverage=0.5, min_sample_coverage=0.25).limits == ("sample_coverage", 0.25, None)
    assert PartConstraint(max_jaccard_overlap=0.0).limits == ("jaccard_overlap", None, 0.0)


def test_shapes():
    layer = made(transform={"crop_h": 7, "crop_w": 6})
    assert repr(layer.batch(((3, 8, 9), (1, 8)), 2)) == "((5, 3, 7, 6), (1, 1, ?, 8))"
    assert layer.batch(((3, 8, 9), ()), 2) == ((5, 3, 7, 6), (5,))
    assert repr(layer.batch(None, 2)) == "((5, ?, 7, 6), (1, 1, ?, 8))"
    assert layer.batch(((3, 8, 9), (1, 8)), 1) == ((5, 3, 7, 6),)
    assert repr(made({}).batch(((3, 8, 9), (1, 8)), 1)) == "((5, 3, ?, ?),)"
    assert made({}, TRANSFORM).batch(((3, 8, 9), (1, 8)), 1) == ((5, 3, 30, 24),)


def test_what_is_random():
    assert made({}, TRANSFORM).random_fields(train=True) == ("batch_sampler", "mirror")
    assert made(transform={"emit_constraint": {}}).random_fields(train=True) == ()


@pytest.mark.parametrize(
    ("sampler", "text"),
    [
        ({"sampler": {"min_scale": 0.0}}, "`max_scale` must be from `min_scale` to 1: 0, 1"),
        ({"sampler": {"max_scale": 2.0}}, "`max_scale` must be from `min_scale` to 1: 1, 2"),
        ({"sampler": {"min_aspect_ratio": 2.0}}, "`max_aspect_ratio` must be at least `min_aspect_ratio`"),
        ({"max_trials": 200_000}, "`max_trials` must be at most 100000, got 200000"),
    ],
)
def test_samplers_that_find_nothing(sampler, text):
    with raises("E103", text):
        made(sampler)


def test_parameters_that_do_not_fit():
    with raises("E101", "`source` is missing"):
        made(source="")
    with raises("E101", "cannot move boxes by `random_aspect_ratio_param`"):
        made(transform={"crop_size": 5, "random_aspect_ratio_param": {"min_area_ratio": 0.5}})


def test_jitter_of_yolo_ports():
    own = {"yolo_data_type": 1, "yolo_data_jitter": 0.25}
    for kind in ("AnnotatedData", "YoloAnnotatedData"):
        layer = round_trip(kind, data_param=SOURCE, annotated_data_param=own)
        assert (layer.jitter, layer.random_fields(train=True)) == (0.25, ("yolo_data_jitter",))
    assert YoloAnnotatedData(5, source="db").jitter == 0
    assert repr(layer.batch(((3, 8, 9), (1, 8)), 1)) == "((5, 3, ?, ?),)"
    with_sampler = layer_from(
        "AnnotatedData", data_param=SOURCE, annotated_data_param={**own, "batch_sampler": [SAMPLER]}
    )
    assert with_sampler.jitter == 0
    with raises("E103", "`yolo_data_jitter` must be from 0 to 1, got 1"):
        layer_from("AnnotatedData", data_param=SOURCE, annotated_data_param={"yolo_data_jitter": 1.0})
