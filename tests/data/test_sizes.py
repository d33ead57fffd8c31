"""Images and batches that would take more memory than there is are refused before it is allocated."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from netc import host_memory
from netc.compiler import checked_graph, read_net
from netc.data import images, open_source
from netc.data.image_header import declared_size
from netc.data.pipeline import prefetch
from netc.data.tools.image_database import ImageSettings, convert_images
from netc.diagnostics import Source
from netc.ir.graph import State
from netc.ir.transform import Transform
from netc.layers.data import ImageData
from tests.data.databases import data_layer, database, fault, random_images, write


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(height: int, width: int, rows: bytes = b"") -> bytes:
    """A gray PNG of this size whose pixels are `rows`."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


BOMBS = {
    "10^10 pixels": (png(10**5, 10**5), "100000x100000 pixels is larger than the limit of 268,435,456"),
    "200 bytes": (png(16000, 16000, bytes(1 << 16)), "16000x16000 pixels cannot be stored in"),
}


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tiff", "ppm", "jp2"])
def test_the_size_in_headers(suffix):
    ok, data = cv2.imencode(f".{suffix}", random_images(1, (37, 61, 3))[0])
    assert ok
    assert declared_size(memoryview(data.tobytes())) == (37, 61)


def test_the_size_in_other_headers():
    gray = random_images(1, (37, 61))[0]
    for name, flags in ((".webp", [cv2.IMWRITE_WEBP_QUALITY, 50]), (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])):
        assert declared_size(memoryview(cv2.imencode(name, gray, flags)[1].tobytes())) == (37, 61)
    for data in (b"", b"BM", b"\xff\xd8\xff", b"II*\0", b"RIFF", b"GIF8", b"P6 ", b"\x89PNG\r\n\x1a\n"):
        size = declared_size(memoryview(data))
        assert size is None or size == (0, 0)


@pytest.mark.parametrize("bilevel", [0, 1])
def test_an_image_of_one_color_is_not_a_bomb(bilevel):
    flags = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_BILEVEL, bilevel]
    data = cv2.imencode(".png", np.zeros((2000, 2000), np.uint8), flags)[1].tobytes()
    assert len(data) < 5000
    assert images.decode(memoryview(data), images.IMREAD_UNCHANGED).shape == (1, 2000, 2000)


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_in_databases_and_lists(tmp_path, bomb):
    data, message = BOMBS[bomb]
    write(tmp_path / "db", [_encoded(data)])
    (tmp_path / "a.png").write_bytes(data)
    (tmp_path / "list").write_text(f"{tmp_path}/a.png 0\n")
    for layer in (data_layer(tmp_path / "db"), ImageData(source=str(tmp_path / "list"))):
        with fault("E504", message):
            open_source(layer, "TEST")
    with fault("E504", message):
        convert_images(tmp_path / "list", "", tmp_path / "out", ImageSettings())


def _encoded(data: bytes) -> bytes:
    from netc.schema import caffe

    return caffe.Datum(data=data, encoded=True).SerializeToString()


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("new_height: 1000000000 new_width: 1000000000", "E104", "1000000000x1000000000 pixels"),
        ("new_height: 1000000000 new_width: 1", "E104", "1000000000x1 pixels"),
    ],
)
def test_resizing_beyond_the_limit_is_found_by_check(tmp_path, text, code, message):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / "list").write_text(f"{tmp_path}/a.png 0\n")
    net = read_net(
        Source(
            "net",
            f'layer {{ name: "d" type: "ImageData" top: "x" top: "y" image_data_param {{ source: "l" {text} }} }}',
        )
    )
    _, report = checked_graph(net, State())
    found = [(d.code, d.message) for d in report.errors]
    assert [code for code, _ in found] == [code]
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resize_param.height", "resize_param { height: 2000000000 width: 3 }"),
        ("random_resize_param.max_size", "random_resize_param { max_size: 2000000000 }"),
        ("expand_param.max_expand_ratio", "expand_param { max_expand_ratio: 1e9 }"),
        ("vertical_stretch_upper", "vertical_stretch_upper: inf"),
        ("distort_param.hue_delta", "distort_param { hue_delta: nan }"),
    ],
)
def test_augmentation_beyond_limits_is_found_by_check(name, text):
    layer = 'type: "Data" name: "d" top: "x" data_param { source: "s" batch_size: 1 }'
    net = f"layer {{ {layer} transform_param {{ {text} }} }}"
    found = checked_graph(read_net(Source("net", net)), State())[1].errors
    assert [d.code for d in found] == ["E103"]
    assert name.rpartition(".")[2] in found[0].message


def test_a_large_expansion_is_refused(tmp_path):
    from netc.ir.augmentation import Expansion

    database(tmp_path / "db", random_images(2, (3, 100, 100)))
    layer = data_layer(tmp_path / "db", expand_param=Expansion(max_expand_ratio=9999), crop_size=4)
    source = open_source(layer, "TRAIN", seed=3)
    with fault("E505", "is larger than the limit"):
        source.next_batch()
    source.close()


def test_the_size_of_converted_images(tmp_path):
    (tmp_path / "list").write_text("a.png 0\n")
    with fault("E512", "1000000000x1000000000 pixels are larger"):
        convert_images(tmp_path / "list", "", tmp_path / "out", ImageSettings(height=10**9, width=10**9))


def test_a_batch_larger_than_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(host_memory, "available_memory", lambda: 3_000_000_000)
    database(tmp_path / "db", random_images(1, (3, 250, 250)))
    source = open_source(data_layer(tmp_path / "db", batch_size=8192), "TEST")
    source.configure(np.empty, normalize_on_host=True)
    with fault("E104", "a batch of 8192 records of", "takes 6.1 GB, more than the 3.0 GB of memory"):
        source.next_batch()
    source.close()


def test_fewer_batches_are_read_ahead_where_memory_is_short(tmp_path, monkeypatch):
    database(tmp_path / "db", random_images(2, (3, 10, 10)))
    for available, expected in ((1 << 40, 4), (7_200, 3), (1_200, 0)):  # a batch of bytes takes 1200
        monkeypatch.setattr(prefetch, "available_memory", lambda available=available: available)
        source = open_source(data_layer(tmp_path / "db", batch_size=4), "TEST")
        source.next_batch()
        assert source.prefetch == expected
        source.close()


def test_a_crop_determines_the_memory_of_a_batch(tmp_path):
    database(tmp_path / "db", random_images(2, (3, 10, 10)))
    source = open_source(data_layer(tmp_path / "db", batch_size=4, crop_size=5), "TEST")
    assert source.batch_bytes() == 4 * 3 * 5 * 5
    source.configure(np.empty, normalize_on_host=True)
    assert source.batch_bytes() == 4 * 4 * 3 * 5 * 5
    source.close()
    assert Transform(crop_size=5).shape((3, 10, 10)) == (3, 5, 5)
