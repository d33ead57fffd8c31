"""Sizes that a definition may ask for: every rule is a diagnostic of netc.check, and the same one of netc.load."""

from __future__ import annotations

import pytest

import netc
from netc.diagnostics import NetcError, Source

IMAGE = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }\n'
CONVOLUTION = 'layer { name: "c" type: "Convolution" bottom: "x" top: "y" convolution_param { %s } }'
POOLING = 'layer { name: "p" type: "Pooling" bottom: "x" top: "y" pooling_param { %s } }'
HUGE = 2_000_000_000


def of(kind: str, *dims: int) -> str:
    """A layer of a type with a parameter message `<kind>_param { shape }` of these extents."""
    name = {"input": "Input", "dummy_data": "DummyData", "parameter": "Parameter"}[kind]
    shape = " ".join(f"dim: {dim}" for dim in dims)
    return f'layer {{ name: "x" type: "{name}" top: "x" {kind}_param {{ shape {{ {shape} }} }} }}'


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (IMAGE + CONVOLUTION % f"num_output: {HUGE} kernel_size: 1", "E104", "[1,2000000000,8,8]"),
        (IMAGE + CONVOLUTION % f"num_output: 2 kernel_size: 1 pad: {HUGE}", "E104", "[1,2,4000000008,4000000008]"),
        (IMAGE + CONVOLUTION % f"num_output: 2 kernel_size: {HUGE}", "E102", "does not fit"),
        (IMAGE + CONVOLUTION % f"num_output: 2 kernel_size: 3 dilation: {HUGE}", "E102", "does not fit"),
        (IMAGE + POOLING % "kernel_size: 3 pad: 3", "E103", "padding of 3 is not less than the kernel of 3"),
        (IMAGE + POOLING % f"kernel_size: {HUGE} pad: {HUGE - 1}", "E104", "elements"),
        (of("input", 2, 0, 3), "E104", "[2,0,3] has no elements"),
        (of("dummy_data", 0), "E104", "[0] has no elements"),
        (of("parameter", 5, 0), "E104", "[5,0] has no elements"),
        (of("input", -1, 3), "E103", "[-1,3] has a negative extent"),
        (of("dummy_data", HUGE, 2), "E104", "4,000,000,000 elements"),
        (of("input", *(1,) * 33), "E104", "33 axes has more than Caffe's limit of 32"),
        (of("parameter", *(1,) * 40), "E104", "40 axes"),
        (IMAGE + f'layer {{ name: "t" type: "Tile" bottom: "x" top: "y" tile_param {{ tiles: {HUGE} }} }}', "E104", ""),
    ],
)
def test_check_and_load_agree(text: str, code: str, words: str) -> None:
    errors = [d for d in netc.check(Source("net.prototxt", text)) if d.severity == "error"]
    with pytest.raises(NetcError) as caught:
        netc.load(Source("net.prototxt", text))
    assert [d.render() for d in caught.value.diagnostics] == [d.render() for d in errors]
    (error,) = errors
    assert error.code == code
    assert words in error.message
    assert error.span is not None


@pytest.mark.parametrize("text", [of("input", *(1,) * 32), IMAGE + CONVOLUTION % "num_output: 2 kernel_size: 3 pad: 9"])
def test_sizes_that_caffe_accepts(text: str) -> None:
    assert not [d for d in netc.check(Source("net.prototxt", text)) if d.severity == "error"]


def test_a_stride_beyond_the_plane_allocates_no_padding() -> None:
    """The second window of each axis is empty, as with any stride beyond the plane."""
    import torch

    plane = torch.arange(192.0).reshape(1, 3, 8, 8)
    values = []
    for stride in (10, HUGE):
        net = netc.load(Source("net", IMAGE + POOLING % f"kernel_size: 3 stride: {stride} pool: AVE"))
        values.append(net(plane)["y"])
    assert values[0].shape == (1, 3, 2, 2)
    assert torch.equal(*values)
    assert torch.equal(values[0][:, :, 0, 0], torch.tensor([[9.0, 73.0, 137.0]]))
