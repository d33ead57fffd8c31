import pytest

import netc
from netc.compiler import graph_of, read_net
from netc.diagnostics import Source
from netc.ir.graph import State
from netc.ir.layer import Cost
from netc.ir.transform import Transform
from netc.layers import LayerUse, choose
from netc.layers.video_data import OldVideoClips, VideoClips, VideoFrames, VideoSegments
from tests.layers.contract import raises
from tests.layers.harness import _fields

FILE = {"data_param": {"batch_size": 3}, "video_data_param": {"video_type": "VIDEO", "video_file": "a.avi"}}
LIST = {"source": "list", "batch_size": 2, "new_length": 4, "new_height": 30, "new_width": 40}
SEGMENTS = {**LIST, "num_segments": 3, "modality": "RGB"}


def of_message(message):
    """The layer of whichever meaning fits a message."""
    fields = _fields("LayerParameter", message)
    cls = choose("VideoData", LayerUse(fields, bottoms=0, tops=2)).cls
    assert cls is not None
    return cls.from_caffe(fields)


def made(use_of, **changes):
    """The layer with changed fields of `video_data_param`."""
    values = {name: value for name, value in {**use_of, **changes}.items() if value is not None}
    return of_message({"video_data_param": values})


@pytest.mark.parametrize(
    ("message", "layer"),
    [
        (FILE, VideoFrames(3, video_type="VIDEO", video_file="a.avi")),
        ({"video_data_param": LIST}, VideoClips(2, source="list", new_length=4, new_height=30, new_width=40)),
        ({"image_data_param": LIST}, OldVideoClips(2, source="list", new_length=4, new_height=30, new_width=40)),
        (
            {"video_data_param": SEGMENTS},
            VideoSegments(2, source="list", new_length=4, new_height=30, new_width=40, num_segments=3, modality="RGB"),
        ),
    ],
    ids=["ssd", "c3d", "c3d_old", "yjxiong"],
)
def test_meanings_and_files(message, layer):
    found = of_message(message)
    assert type(found) is type(layer)
    assert found == layer
    assert found.to_caffe() == message
    assert found.cost((), ()) == Cost()


def test_shapes():
    frames = VideoFrames(3, Transform(crop_size=5), "VIDEO", video_file="a")
    assert repr(frames.batch(None, 2)) == "((3, ?, 5, 5), (3,))"
    assert frames.batch(((3, 8, 9), ()), 1) == ((3, 3, 5, 5),)
    clips = VideoClips(2, Transform(crop_size=5, mean_value=(1.0, 2.0, 3.0)), "a", new_length=4)
    assert clips.batch(((12, 8, 9), ()), 2) == ((2, 3, 4, 5, 5), (2,))
    assert repr(VideoClips(2, source="a").batch(None, 2)) == "((2, 3, 1, ?, ?), (2,))"
    assert clips.plane_means() == (1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3)
    flow = VideoSegments(2, source="a", new_length=5, num_segments=2)
    assert flow.batch(((20, 8, 9), ()), 1) == ((2, 20, 8, 9),)
    colors = VideoSegments(2, Transform(mean_value=(1.0, 2.0, 3.0)), "a", num_segments=2, modality="RGB")
    assert colors.batch(((6, 8, 9), ()), 1) == ((2, 6, 8, 9),)
    assert colors.plane_means() == (1, 2, 3, 1, 2, 3)
    with raises("E102", "2 values of `mean_value` for 3 channels"):
        VideoClips(2, Transform(mean_value=(1.0, 2.0)), "a").batch(None, 1)


def test_what_is_random():
    assert VideoClips(2, source="a", use_temporal_jitter=True).random_fields(train=True) == ("use_temporal_jitter",)
    assert VideoClips(2, source="a", use_temporal_jitter=True).random_fields(train=False) == ()
    assert VideoSegments(2, source="a", shuffle=True).random_fields(train=True) == ("num_segments", "shuffle")
    assert VideoFrames(2, video_file="a").random_fields(train=True) == ()


@pytest.mark.parametrize(
    ("use_of", "changes", "code", "text"),
    [
        (LIST, {"batch_size": None}, "E103", "`batch_size` is required and must be positive"),
        (LIST, {"new_width": None}, "E101", "`new_height` 30 and `new_width` 0 must be given together"),
        (LIST, {"new_length": 0}, "E103", "`new_length` must be positive"),
        (LIST, {"new_length": 10**6, "new_height": 9999, "new_width": 9999}, "E104", "larger than the limit"),
        (LIST, {"sampling_rate": 0}, "E103", "`sampling_rate` must be positive"),
        (SEGMENTS, {"num_segments": 0}, "E103", "`num_segments` must be positive"),
        (SEGMENTS, {"encoded": True}, "E101", "`encoded` is not supported"),
        (SEGMENTS, {"name_pattern": "%s%n"}, "E103", "`name_pattern` `%s%n` is not a name such as `image_%04d.jpg`"),
        (SEGMENTS, {"name_pattern": "%d", "modality": "FLOW"}, "E103", "such as `flow_%c_%04d.jpg`"),
        ({}, {"video_type": "WEBCAM"}, "E101", "cameras are not supported"),
        ({}, {"video_type": "VIDEO"}, "E101", "`video_file` is missing"),
        ({}, {"video_type": "VIDEO", "video_file": "a"}, "E103", "`batch_size` is required"),
    ],
)
def test_parameters_that_do_not_fit(use_of, changes, code, text):
    with raises(code, text):
        made(use_of, **changes)


def test_a_net_of_c3d_1_0():
    text = """
    layers { name: "d" type: VIDEO_DATA top: "data" top: "label" image_data_param {
        source: "list" batch_size: 5 crop_size: 11 mirror: true mean_file: "m" show_data: 0
        new_height: 12 new_width: 17 new_length: 16 use_image: false use_temporal_jitter: true } }
    layers { name: "p" type: POOLING3D bottom: "data" top: "p" pooling_param { pool: MAX kernel_size: 2 kernel_depth: 1
        stride: 2 temporal_stride: 1 } }
    """
    found = netc.check(Source("net", text))
    assert not [d for d in found if d.severity == "error"]
    graph = graph_of(read_net(Source("net", text)), State("TRAIN"))
    assert graph.nodes[0].layer == OldVideoClips(
        5,
        Transform(crop_size=11, mirror=True, mean_file="m"),
        "list",
        new_height=12,
        new_width=17,
        new_length=16,
        use_image=False,
        use_temporal_jitter=True,
    )
    assert graph.shape("p") == (5, 3, 16, 6, 6)
    assert graph.nodes[0].layer.random_fields(train=True) == ("use_temporal_jitter", "mirror", "crop_size")
