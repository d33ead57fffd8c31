"""CustomData: slices, encodings, ranges and permutations of FlowNet's databases, and a net that trains on one."""

from __future__ import annotations

import lmdb
import numpy as np
import pytest

import netc.pycaffe
from netc.data import open_source
from netc.data.sources.datum import write_datum
from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN
from netc.layers.optical_flow.custom_data import CustomData
from tests.layers.contract import raises
from tests.layers.harness import layer_of

REQUIRED = {"CustomData": 'source: "a" batch_size: 1 backend: LMDB'}
FIELDS = {"source": "a", "batch_size": 1, "backend": "LMDB"}
WHOLE = {
    "data_param.encoding": {"data_param": {**FIELDS, "encoding": ["BOOL1"]}},
    "data_param.preselection_file": {"data_param": {**FIELDS, "preselection_file": "b", "preselection_label": 3}},
}
RANDOM = np.random.default_rng(3)
COUNT, H, W = 5, 3, 5
IMAGES = RANDOM.integers(0, 256, (COUNT, 3, H, W), np.uint8)
FLOWS = RANDOM.integers(-400, 400, (COUNT, 2, H, W)).astype("<i2")
FLOWS[0, 1, 2, 3] = 32767
MASKS = RANDOM.integers(0, 2, (COUNT, 1, H, W), np.uint8)


@pytest.fixture
def database(tmp_path):
    """Images, flows and masks as FlowNet's tools store them."""
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 20) as env, env.begin(write=True) as writing:
        for index in range(COUNT):
            bits = np.packbits(MASKS[index].ravel(), bitorder="little").tobytes()
            data = IMAGES[index].tobytes() + FLOWS[index].tobytes() + bits
            writing.put(f"{index:08}".encode(), write_datum((6, H, W), data, index))
    return str(tmp_path / "db")


def layer(source, **more):
    slices = {"slice_point": (3, 5), "encoding": ("UINT8", "UINT16FLOW", "BOOL1")}
    return CustomData(source, 2, **{**slices, **more})


def batches(made, count, tops=("a", "b", "c"), seed=1):
    source = open_source(made, "TRAIN", tops=tops, seed=seed)
    try:
        return source.record_shapes, [source.next_batch().tops for _ in range(count)]
    finally:
        source.close()


def test_slices_and_encodings(database):
    made = layer(database)
    shapes, (first, second, third) = batches(made, 3)
    assert made.batch(shapes, 3) == tuple(top.shape for top in first) == ((2, 3, H, W), (2, 2, H, W), (2, 1, H, W))
    flow = FLOWS.astype(np.float32) / 32
    flow[0, 1, 2, 3] = np.nan
    for tops, places in ((first, [0, 1]), (second, [2, 3]), (third, [4, 0])):
        np.testing.assert_array_equal(tops[0], IMAGES[places])
        np.testing.assert_array_equal(tops[1], flow[places])
        np.testing.assert_array_equal(tops[2], MASKS[places])


def test_a_mean_and_a_factor(database):
    _, (tops,) = batches(layer(database, subtract=(10.0, 20.0), scale=0.5), 1)
    expected = (IMAGES[:2] - np.array([10, 20, 0], np.float32)[:, None, None]) * np.float32(0.5)
    np.testing.assert_allclose(tops[0], expected)


def test_a_label_without_slices(tmp_path):
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 20) as env, env.begin(write=True) as writing:
        writing.put(b"00000000", write_datum((3, H, W), IMAGES[0].tobytes(), 7))
    made = CustomData(str(tmp_path / "db"), 2)
    shapes, ((image, label),) = batches(made, 1, ("image", "label"))
    assert made.batch(shapes, 2) == (image.shape, label.shape)
    assert label.ravel().tolist() == [7, 7]


def seen(made, count, seed=1):
    """Which records the batches hold."""
    _, found = batches(made, count, seed=seed)
    images = np.concatenate([tops[0] for tops in found])
    return [int(np.flatnonzero([np.array_equal(image, one) for one in IMAGES])[0]) for image in images]


def test_ranges_and_permutations(database):
    assert seen(layer(database, range_start=1, range_end=3), 3) == [1, 2, 3, 1, 2, 3]
    permuted = seen(layer(database, rand_permute=True), 5)
    assert permuted[:5] == permuted[5:]
    assert sorted(permuted[:5]) == list(range(5))
    assert seen(layer(database, rand_permute=True), 5) == permuted
    assert any(seen(layer(database, rand_permute=True), 5, seed) != permuted for seed in range(2, 6))
    fixed = layer(database, rand_permute=True, rand_permute_seed=9)
    assert seen(fixed, 5, 1) == seen(fixed, 5, 2)
    order = "FIRST_RANGE_THEN_PERMUTE"
    assert set(seen(layer(database, rand_permute=True, rand_permute_order=order, range_end=2), 3)) == {0, 1, 2}
    blocks = seen(layer(database, rand_permute=True, block_size=3), 5)[:5]
    assert (set(blocks[:3]), blocks[2], blocks[3:]) == ({0, 1, 2}, 2, [3, 4])
    again = seen(layer(database, rand_permute=True, permute_every_iter=1, rand_permute_seed=4), 10)
    assert len({tuple(again[i : i + 2]) for i in range(0, 20, 10)}) <= 2
    assert set(again) <= set(range(5))


def test_preselection(database, tmp_path):
    (tmp_path / "labels.txt").write_text("1\n2\n1\n2\n1\n")
    made = layer(database, preselection_file=str(tmp_path / "labels.txt"), preselection_label=1)
    assert seen(made, 3) == [0, 2, 4, 0, 2, 4]
    (tmp_path / "labels.txt").write_text("1\n2\n")
    with pytest.raises(NetcError, match="has 2 numbers for 5 records"):
        seen(made, 1)


def test_shapes_without_a_database():
    assert layer("none").batch(None, 3) == ((2, 3, UNKNOWN, UNKNOWN), (2, 2, UNKNOWN, UNKNOWN), (2, *(UNKNOWN,) * 3))
    with raises("E102", "has 3 tops"):
        layer("none").batch(None, 2)
    with raises("E102", "has 1 top or 2"):
        CustomData("none", 2).batch(None, 3)


def test_errors(database):
    for more, text in (
        ({"slice_point": (3, 6)}, "is beyond the 6 channels"),
        ({"encoding": ("UINT16FLOW",) * 3}, "do not hold the slices"),
        ({"range_start": 4, "range_end": 2}, "is before `range_start`"),
        ({"subtract": (1.0,) * 7}, "7 values of `subtract`"),
    ):
        with pytest.raises(NetcError, match=text):
            batches(layer(database, **more), 1)
    with raises("E103", "reads LMDB only"):
        layer_of("CustomData", {"data_param": {"source": "a", "batch_size": 1}})
    with raises("E103", "does not support `crop_size`"):
        layer_of("CustomData", {"data_param": {"source": "a", "batch_size": 1, "backend": "LMDB", "crop_size": 2}})
    with raises("E103", "must be positive and increase"):
        fields = {"source": "a", "batch_size": 1, "backend": "LMDB", "slice_point": [3, 3]}
        layer_of("CustomData", {"data_param": fields})


def test_a_net_trains_on_it(database, tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(f"""
layer {{ name: "data" type: "CustomData" top: "image" top: "flow" top: "mask" data_param {{ source: "{database}"
  batch_size: 2 backend: LMDB slice_point: 3 slice_point: 5 encoding: UINT8 encoding: UINT16FLOW encoding: BOOL1 }} }}
layer {{ name: "silence" type: "Silence" bottom: "mask" }}
layer {{ name: "scaled" type: "Power" bottom: "image" top: "scaled" power_param {{ scale: 0.0039 }} }}
layer {{ name: "conv" type: "Convolution" bottom: "scaled" top: "predicted" convolution_param {{ num_output: 2
  kernel_size: 3 pad: 1 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "L1Loss" bottom: "predicted" bottom: "flow" top: "loss"
  l1_loss_param {{ l2_per_location: true normalize_by_num_entries: true }} }}
""")
    solver = netc.pycaffe.SGDSolver(str(write_solver(tmp_path, path)))
    solver.step(1)
    first = float(solver.net.blobs["loss"].data)
    solver.step(80)
    assert float(solver.net.blobs["loss"].data) < first
    assert solver.net.blobs["flow"].data.shape == (2, 2, H, W)


def write_solver(folder, net):
    path = folder / "solver.prototxt"
    path.write_text(
        f'net: "{net}" base_lr: 0.2 lr_policy: "fixed" max_iter: 100 random_seed: 1 snapshot_prefix: "{folder}/s"'
    )
    return path
