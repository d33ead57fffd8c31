"""Databases damaged in the middle: the damage is reported, never mistaken for the end."""

from __future__ import annotations

import struct

import lmdb
import numpy as np
import pytest

from netc.cli import main
from netc.data import open_source
from netc.data.sources.opening import open_records
from netc.data.stores import lmdb as lmdb_store
from netc.data.stores.lmdb_pages import check_pages
from netc.data.stores.writers import new_database
from netc.data.tools.database_report import inspect_database
from netc.diagnostics import NetcError
from tests.data.databases import data_layer, database, fault, random_images, record

IMAGES = random_images(400, (1, 32, 32))


def damaged(path, backend):
    """A database with eight kilobytes of 0xff in its middle."""
    with new_database(path, backend) as put:
        for i, image in enumerate(IMAGES):
            put(b"%08d" % i, record(image, i))
    (file,) = path.glob("*.ldb") if backend == "leveldb" else [path / "data.mdb"]
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 8192] = b"\xff" * 8192
    file.write_bytes(data)
    return data_layer(path, 50, backend=backend.upper())


@pytest.mark.parametrize("skip_bad", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_a_damaged_database_ends_the_run(tmp_path, monkeypatch, backend, shuffle, skip_bad):
    monkeypatch.setattr("netc.data.stores.lmdb.CHECKED", 0)
    source = open_source(damaged(tmp_path / "db", backend), "TRAIN", skip_bad=skip_bad)
    source.sampler.shuffle = shuffle
    seen = []
    with fault("E501", f"{tmp_path / 'db'}"):
        for _ in range(9):
            seen += source.next_batch().tops[1].tolist()
    assert seen == list(range(len(seen)))
    assert len(seen) < 400
    with fault("E501", f"{tmp_path / 'db'}"):
        source.next_batch()
    assert not source.skipped
    source.close()


def test_a_database_that_could_not_be_opened_is_released(tmp_path, monkeypatch):
    monkeypatch.setattr("netc.data.stores.lmdb.CHECKED", 0)
    data = pages_of(database(tmp_path / "db", random_images(300, (1, 4, 4))))
    for page in range(2, len(data) // 4096):
        data[page * 4096 + 10] = 0xFF
    (tmp_path / "db" / "data.mdb").write_bytes(data)
    with fault("E501", "is damaged"):
        open_records(tmp_path / "db")
    assert str(tmp_path / "db") not in lmdb_store._OPEN


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
@pytest.mark.parametrize("command", ["check", "show", "mean"])
def test_tools_report_the_damage(tmp_path, monkeypatch, capsys, backend, command):
    monkeypatch.chdir(tmp_path)
    damaged(tmp_path / "db", backend)
    assert main(["data", command, "db", *(["mean.binaryproto"] if command == "mean" else [])]) == 1
    assert "error[E501]" in capsys.readouterr().err


def test_a_key_without_a_value_is_a_bad_record(tmp_path):
    database(tmp_path / "db", random_images(300, (1, 4, 4)))
    file = tmp_path / "db" / "data.mdb"
    file.write_bytes(file.read_bytes().replace(b"00000100", b"90000100", 1))
    found = inspect_database(tmp_path / "db")
    assert [(d.code, "it no longer exists" in d.message) for d in found.faults] == [("E503", True)]


@pytest.mark.parametrize("odd", [0, 4, 7])
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((1, 4, 4), {}),
        ((3, 7, 9), {"crop_size": 5}),
        ((1, 6, 6), {"crop_size": 7}),
        ((1, 4, 4), {"mean_value": (9.0,)}),
    ],
)
def test_one_record_of_another_size_is_skipped_at_any_position(tmp_path, odd, shape, settings):
    images = list(random_images(12, (1, 8, 8)))
    images[odd] = random_images(1, shape)[0]
    with new_database(tmp_path / "db") as put:
        for i, image in enumerate(images):
            put(b"%08d" % i, record(image, i))
    source = open_source(data_layer(tmp_path / "db", 4, **settings), "TEST", skip_bad=True)
    found = np.concatenate([source.next_batch().tops[1] for _ in range(3)])
    assert found.tolist() == [i if i != odd else odd + 1 for i in range(12)]
    assert [error.diagnostics[0].code for error in source.skipped.values()] == ["E505"]
    source.close()


def pages_of(path):
    return bytearray((path / "data.mdb").read_bytes())


def test_intact_files_pass(tmp_path):
    for name, shape, count in (("small", (1, 4, 4), 3000), ("large", (3, 60, 60), 40), ("one", (1, 1, 1), 1)):
        check_pages(database(tmp_path / name, random_images(count, shape)) / "data.mdb")
    with lmdb.open(str(tmp_path / "empty"), map_size=1 << 20):
        pass
    check_pages(tmp_path / "empty" / "data.mdb")


def test_pages_with_invalid_offsets(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = pages_of(database(tmp_path / "db", random_images(300, (1, 4, 4))))
    leaf = next(page for page in range(2, len(data) // 4096) if data[page * 4096 + 10] & 2)
    struct.pack_into("<H", data, leaf * 4096 + 22, 0xFFF0)
    (tmp_path / "db" / "data.mdb").write_bytes(data)
    assert main(["data", "check", "db"]) == 1
    assert f"error[E501]: LMDB `db` is damaged: page {leaf} refers to bytes outside it" in capsys.readouterr().err
    monkeypatch.setattr("netc.data.stores.lmdb.CHECKED", 0)
    assert main(["data", "check", "db"]) == 1
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(("shape", "count"), [((1, 4, 4), 900), ((3, 40, 40), 30)])
def test_damaged_headers_never_end_the_process(tmp_path, shape, count):
    """What passes the check is read to the end; a fault of the memory would end the tests."""
    whole = pages_of(database(tmp_path / "whole", random_images(count, shape)))
    random = np.random.default_rng(0)
    (tmp_path / "db").mkdir()
    refused, tree = 0, [page for page in range(len(whole) // 4096) if page < 2 or whole[page * 4096 + 10] in (1, 2)]
    for _ in range(150):
        data = bytearray(whole)
        for page in random.choice(tree, 2).tolist():
            data[page * 4096 + int(random.integers(0, 64))] = int(random.integers(0, 256))
        (tmp_path / "db" / "data.mdb").write_bytes(data)
        try:
            found = inspect_database(tmp_path / "db", threads=1)
        except NetcError as error:
            refused += error.diagnostics[0].code == "E501"
        else:
            assert found.records <= 2 * count
    assert 10 < refused < 150
