"""Where each data layer reads its transform, by format of the file (`upgrade_proto.cpp`, `*_data_layer.cpp`)."""

from __future__ import annotations

import pytest

from netc.compiler import checked_graph, read_net
from netc.diagnostics import Source
from netc.ir.graph import State

V1 = {"Data": "DATA", "ImageData": "IMAGE_DATA", "WindowData": "WINDOW_DATA"}
MESSAGES = {"Data": "data_param", "ImageData": "image_data_param", "WindowData": "window_data_param"}
FIELDS = 'scale: 2 mean_file: "m" crop_size: 8 mirror: true'


def layer(kind, own="", transform="", old=False):
    parameters = f'{MESSAGES[kind]} {{ source: "s" batch_size: 4 {own} }} transform_param {{ {transform} }}'
    head = f"layers {{ type: {V1[kind]}" if old else f'layer {{ type: "{kind}"'
    net = read_net(Source("net", f'{head} name: "d" top: "x" top: "y" {parameters} }}'))
    graph, report = checked_graph(net, State("TRAIN"))
    assert not report.errors
    return graph.nodes[0].layer, [d.message for d in net.report.diagnostics if d.code == "W038"]


def applied(layer):
    t = layer.transform
    return layer.factor, t.mean_file, t.crop_size, t.mirror


@pytest.mark.parametrize("kind", ["Data", "ImageData"])
def test_a_layer_reads_transform_param_only(kind):
    found, unread = layer(kind, own=FIELDS)
    assert applied(found) == (1, None, 0, False)
    assert [message.split("`")[1] for message in unread] == ["scale", "mean_file", "crop_size", "mirror"]
    assert applied(layer(kind, transform=FIELDS)[0]) == (2, "m", 8, True)


def test_window_data_reads_scale_in_its_own_message_only():
    found, unread = layer("WindowData", own='scale: 2 mirror: true mean_file: "n"', transform="scale: 5 crop_size: 8")
    assert applied(found) == (2, None, 8, False)
    assert [tuple(message.split("`")[1:4:2]) for message in unread] == [
        ("mirror", "window_data_param"),
        ("mean_file", "window_data_param"),
        ("scale", "transform_param"),
    ]


def test_window_data_does_not_read_other_transforms():
    found, unread = layer("WindowData", transform="crop_size: 8 mean_value: 3 force_color: true")
    assert (found.transform.mean_value, len(unread)) == ((3.0,), 1)
    assert "`force_color` in the `transform_param` of a WindowData layer" in unread[0]


@pytest.mark.parametrize("kind", V1)
def test_v1_layers_have_their_transform_moved(kind):
    found, unread = layer(kind, own=FIELDS, transform="scale: 5 crop_size: 6", old=True)
    # The `scale` of windows is moved away from where it is read.
    assert applied(found) == ((1 if kind == "WindowData" else 2), "m", 8, True)
    assert len(unread) == (kind == "WindowData")
