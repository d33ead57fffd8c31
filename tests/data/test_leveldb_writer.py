"""LevelDBs that are written here: their checksums, their parts, and what the original library makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.data.stores import open_store
from netc.data.stores.checksum import _plain, crc32c, masked
from netc.data.stores.leveldb_format import LOG_BLOCK, Table, log_records
from netc.data.stores.leveldb_writer import TABLE, LevelDbWriter, log_record


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_checksums_of_rfc_3720(data, value):
    assert crc32c(data) == value


@given(st.integers(0, 5000), st.integers(0, 100))
def test_the_fast_sum_is_the_plain_one(size, seed):
    data = np.random.default_rng(seed).bytes(size)
    assert crc32c(data) == _plain(data)


def test_masked_sums_are_turned_and_shifted():
    value = crc32c(b"foo")
    assert masked(b"foo") != value
    back = (masked(b"foo") - 0xA282EAD8) & 0xFFFFFFFF
    assert (back >> 17 | back << 15) & 0xFFFFFFFF == value


@pytest.mark.parametrize("size", [0, 1, LOG_BLOCK - 8, LOG_BLOCK - 7, LOG_BLOCK - 6, LOG_BLOCK - 1, 3 * LOG_BLOCK])
def test_logs_come_back(tmp_path, size):
    record = np.random.default_rng(1).bytes(size)
    (tmp_path / "log").write_bytes(log_record(record))
    assert list(log_records(tmp_path / "log")) == [record]


def filled(folder, values):
    folder.mkdir()
    writer = LevelDbWriter(folder)
    for key, value in values.items():
        writer.put(key, value)
    writer.close()
    return folder


def values(count=200, large=3):
    random = np.random.default_rng(2)
    sizes = [*random.integers(0, 900, count), *[TABLE // 2 + 1] * large]
    return {b"%08d_%s" % (i, b"x" * (i % 7)): random.bytes(int(size)) for i, size in enumerate(sizes)}


def test_records_of_all_sizes_come_back_from_several_tables(tmp_path):
    wanted = values()
    folder = filled(tmp_path / "db", wanted)
    tables = sorted(folder.glob("*.ldb"))
    assert [path.name for path in tables] == ["000004.ldb", "000005.ldb"]
    assert len(Table(tables[0]).handles) > 2
    store = open_store(folder)
    with store.reading() as get:
        assert {key: bytes(get(key)) for key in store.keys()} == wanted  # noqa: SIM118
    store.close()


def test_an_empty_one(tmp_path):
    store = open_store(filled(tmp_path / "db", {}))
    assert list(store.keys()) == []


def test_blocks_carry_their_sums(tmp_path):
    folder = filled(tmp_path / "db", values(large=0))
    data = (folder / "000004.ldb").read_bytes()
    for offset, size in Table(folder / "000004.ldb").handles:
        block, stored = data[offset : offset + size + 1], data[offset + size + 1 : offset + size + 5]
        assert int.from_bytes(stored, "little") == masked(block)


def test_the_original_library_reads_it_and_checks_every_sum(tmp_path):
    plyvel = pytest.importorskip("plyvel")
    wanted = values()
    folder = filled(tmp_path / "db", wanted)
    with plyvel.DB(str(folder), paranoid_checks=True) as database:
        assert dict(database.iterator(verify_checksums=True)) == wanted
    store = open_store(folder)  # which the library has rewritten its manifest of
    assert list(store.keys()) == list(wanted)
