"""`netc features`: the blobs of a net, kept as extract_features keeps them."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import netc
from netc.cli.features import command
from netc.data.feeds.record_feed import RecordFeed
from netc.data.stores import open_store
from netc.diagnostics import NetcError
from netc.schema import caffe
from netc.training.data_monitor import DataMonitor
from netc.training.feature_extraction import extract
from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel
from tests.data.databases import database
from tests.data.real_images import photographs

NET = """
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  data_param { source: "db" batch_size: 3 backend: LMDB } transform_param { scale: 0.004 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A net, weights for it, and a database of eight parts of photographs."""
    monkeypatch.chdir(tmp_path)
    parts = [cv2.resize(p[40 * i : 40 * i + 90], (11, 9)) for i in range(4) for p in photographs().values()]
    database(tmp_path / "db", np.stack(parts).transpose(0, 3, 1, 2))
    (tmp_path / "net.prototxt").write_text(NET)
    net = netc.load("net.prototxt", seed=1)
    layers = {}
    for blob in net.blobs:
        layers.setdefault(blob.layer, []).append(BlobArray(blob.tensor.detach().numpy()))
    write_caffemodel("w.caffemodel", Weights(tuple(LayerBlobs(name, "", blobs) for name, blobs in layers.items())))
    return tmp_path


def datums(path) -> dict[bytes, caffe.Datum]:
    with contextlib.closing(open_store(path)) as store, store.reading() as get:
        return {key: caffe.Datum.FromString(bytes(get(key))) for key in store.keys()}  # noqa: SIM118


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_blobs_of_the_net(folder, backend):
    arguments = ["w.caffemodel", "net.prototxt", "conv,ip", "conv_db,ip_db", "3", backend, "CPU"]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == ["conv_db: 9 records of `conv`", "ip_db: 9 records of `ip`"]
    assert "Extracted features of 9 query images for feature blob conv\n" in done.stderr
    images = np.stack([np.frombuffer(d.data, np.uint8).reshape(3, 9, 11) for d in datums("db").values()])
    net = netc.load("net.prototxt", "w.caffemodel")
    scaled = torch.from_numpy(images.astype(np.float32)) * 0.004
    with torch.no_grad():
        expected = net.evaluate({"data": scaled}, ["conv", "ip"])
    for blob, shape in (("conv", (4, 4, 5)), ("ip", (6, 1, 1))):
        found = datums(f"{blob}_db")
        assert list(found) == [b"%010d" % i for i in range(9)]
        for i, datum in enumerate(found.values()):
            assert (datum.channels, datum.height, datum.width) == shape
            assert not any(datum.HasField(name) for name in ("label", "data", "encoded"))
            wanted = expected[blob][i % 8].flatten()  # records wrap
            np.testing.assert_allclose(datum.float_data, wanted, rtol=1e-5, atol=1e-6)


def test_features_feed_a_net(folder):
    extract(["w.caffemodel"], "net.prototxt", ["conv"], ["features"], 2)
    (folder / "next.prototxt").write_text(NET.replace('"db"', '"features"').replace("scale: 0.004", ""))
    counts = extract([], "next.prototxt", ["data"], ["again"], 2)
    assert counts == {"data": 6}
    assert [d.float_data for d in datums("again").values()] == [d.float_data for d in datums("features").values()]


@pytest.mark.parametrize(
    ("blobs", "outputs", "code", "part"),
    [
        (["conw"], ["a"], "E302", "no blob `conw`"),
        (["conv"], ["a", "b"], "E512", "1 blob, but 2 databases"),
        (["conv", "ip"], ["a", "a"], "E512", "the same database"),
        (["conv"], ["db"], "E511", "`db` already exists"),
        (["conv"], ["none/a"], "E511", "cannot be written"),
    ],
)
def test_invalid_arguments(folder, blobs, outputs, code, part):
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(NetcError, match=part) as caught:
        extract(["w.caffemodel"], "net.prototxt", blobs, outputs, 1)
    assert caught.value.diagnostics[0].code == code
    assert sorted(path.name for path in folder.iterdir()) == before


class _Source:
    """Statistics and skips as a source has them."""

    def __init__(self):
        from netc.data import ReadStatistics

        self.statistics, self.skipped = ReadStatistics(), {}


def test_the_log_reports_slow_and_bad_data():
    feed = RecordFeed.__new__(RecordFeed)
    feed.source = source = _Source()
    monitor = DataMonitor({"data": feed})
    assert monitor.messages() == []
    source.statistics.started -= 10.0
    source.statistics.count(4120, 5.0)
    assert monitor.messages() == ["data layer limits: 412 images/s"]
    source.statistics.started -= 10.0
    source.statistics.count(4120, 0.5)
    source.skipped["record `3` of `db`"] = NetcError("record `3` of `db`: not an image")
    assert monitor.messages() == ["data layer skipped 1 record so far: record `3` of `db`: not an image"]
    assert monitor.messages() == []
    several = DataMonitor({"a": feed, "b": feed})
    source.statistics.started -= 10.0
    source.statistics.count(100, 9.0)
    assert several.messages()[0] == "data layer `a` limits: 10 images/s"
