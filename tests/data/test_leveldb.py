"""LevelDBs, read through plyvel without a change to them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from netc.cli import main
from netc.data import open_source
from netc.data.stores.leveldb import LevelDbStore
from netc.data.stores.leveldb_footer import FOOTER, footer_is_sound
from netc.data.stores.writers import LevelDbWriter, new_database
from netc.diagnostics import NetcError
from tests.data.databases import data_layer, fault, random_images, record

plyvel = pytest.importorskip("plyvel")


def contents(path) -> dict[bytes, bytes]:
    store = LevelDbStore(path, "db")
    keys = list(store.keys())
    assert keys == sorted(set(keys))
    with store.reading() as get:
        found = {key: bytes(get(key)) for key in keys}
        assert get(b"no such key") is None
    store.close()
    return found


def random_writes(path, seed, compression, count=4000) -> dict[bytes, bytes]:
    """A database of many tables on several levels and of a log; returns what it holds."""
    rng = random.Random(seed)
    with plyvel.DB(str(path), create_if_missing=True, compression=compression, write_buffer_size=100_000) as db:
        for _ in range(count):
            key = b"%05d" % rng.randrange(2000)
            if rng.random() < 0.2:
                db.delete(key)
            else:
                db.put(key, rng.randbytes(60) * rng.randrange(8))
        return dict(db)


def state_of(path) -> list[tuple[str, int, bytes]]:
    return sorted((file.name, file.stat().st_mtime_ns, file.read_bytes()) for file in path.iterdir())


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """Where the links are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("compression", ["snappy", None])
@pytest.mark.parametrize("seed", range(3))
def test_the_newest_write_of_each_key_counts_and_the_files_are_unchanged(tmp_path, temporary, seed, compression):
    expected = random_writes(tmp_path / "db", seed, compression)
    before = state_of(tmp_path / "db")
    assert {Path(name).suffix for name, _, _ in before} >= {".ldb", ".log"}
    assert contents(tmp_path / "db") == expected
    assert state_of(tmp_path / "db") == before
    assert not list(temporary.iterdir())


def test_files_that_an_interrupted_process_left_are_not_overwritten(tmp_path):
    path = tmp_path / "db"
    with plyvel.DB(str(path), create_if_missing=True) as db:
        db.put(b"key", b"value")
    for number in range(1, 60):
        for name in (f"{number:06d}.ldb", f"{number:06d}.sst", f"MANIFEST-{number:06d}", f"{number:06d}.dbtmp"):
            if not (path / name).exists():
                (path / name).write_bytes(b"left over " * 9)
    before = state_of(path)
    assert contents(path) == {b"key": b"value"}
    assert state_of(path) == before


def test_logs_of_several_megabytes_and_tables_under_their_old_name(tmp_path):
    with plyvel.DB(str(tmp_path / "db"), create_if_missing=True, write_buffer_size=1 << 28) as db:
        for i in range(300):
            db.put(b"%05d" % i, bytes([i % 256]) * 40_000)
    for file in (tmp_path / "db").glob("*.ldb"):
        file.rename(file.with_suffix(".sst"))
    found = contents(tmp_path / "db")
    assert [(key, value[0], len(value)) for key, value in found.items()] == [
        (b"%05d" % i, i % 256, 40_000) for i in range(300)
    ]
    with new_database(tmp_path / "tables", "leveldb") as put:
        for i in range(9):
            put(b"%05d" % i, bytes([i]))
    (table,) = (tmp_path / "tables").glob("*.ldb")
    table.rename(table.with_suffix(".sst"))
    assert len(contents(tmp_path / "tables")) == 9


def make(tmp_path, images):
    with new_database(tmp_path / "db", "leveldb") as put:
        for i, image in enumerate(images):
            put(b"%08d" % i, record(image, i))
    return tmp_path / "db"


def test_batches_of_a_leveldb(tmp_path):
    images = random_images(10)
    source = open_source(data_layer(make(tmp_path, images), 4, backend="LEVELDB"), "TEST")
    assert source.record_shapes == ((3, 7, 9), ())
    for order in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]):
        data, label = source.next_batch().tops
        np.testing.assert_array_equal(data, images[order])
        assert label.tolist() == order
    source.close()


def test_a_source_resumes_from_the_state_of_another(tmp_path):
    layer = data_layer(make(tmp_path, random_images(300)), 7, backend="LEVELDB")
    first, second = open_source(layer, "TRAIN", seed=3), open_source(layer, "TRAIN", seed=5)
    for _ in range(20):
        first.next_batch()
    second.restore(first.state())
    for _ in range(40):
        for a, b in zip(first.next_batch().tops, second.next_batch().tops):
            np.testing.assert_array_equal(a, b)
    first.close()
    second.close()


def test_a_database_that_another_process_has_open(tmp_path):
    pytest.importorskip("fcntl")
    path = make(tmp_path, random_images(3))
    code = "import plyvel, sys; db = plyvel.DB(sys.argv[1]); print('locked', flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        with fault("E507", "is open in another process"):
            LevelDbStore(path, "db")
        holder.communicate("\n")
    LevelDbStore(path, "db").close()


def test_several_stores_read_one_database(tmp_path):
    path = make(tmp_path, random_images(3))
    stores = [LevelDbStore(path, "db") for _ in range(3)]
    assert [len(list(store.keys())) for store in stores] == [3, 3, 3]
    for store in stores:
        store.close()
        store.close()


def test_a_read_only_folder(tmp_path):
    path = make(tmp_path, random_images(3))
    before = state_of(path)
    for file in path.iterdir():
        file.chmod(0o444)
    path.chmod(0o555)
    try:
        assert len(contents(path)) == 3
    finally:
        path.chmod(0o755)
    assert state_of(path) == before


HARMS = ["table cut", "table gone", "no manifest", "table zeroed", "manifest bit", "table bit", "footer", "current"]


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_databases(tmp_path, temporary, harm):
    path = make(tmp_path, random_images(10))
    (stored,), (manifest,) = path.glob("*.ldb"), path.glob("MANIFEST-*")
    file = stored if "table" in harm or harm == "footer" else manifest
    data = bytearray(file.read_bytes())
    if harm == "table cut":
        del data[-100:]
    elif harm == "table zeroed":
        data[:300] = bytes(300)
    elif harm.endswith("bit"):
        data[20] ^= 1
    elif harm == "footer":
        data[-FOOTER : -FOOTER + 10] = b"\xff" * 9 + b"\x01"
    file.write_bytes(data)
    if harm in ("table gone", "no manifest"):
        file.unlink()
    if harm == "current":
        (path / "CURRENT").write_text("nonsense")
    with pytest.raises(NetcError) as caught:
        open_source(data_layer(path, 10, backend="LEVELDB"), "TEST").next_batch()
    found = caught.value.diagnostics[0]
    assert found.code == "E501"
    assert str(temporary) not in found.message
    assert found.notes == (
        (f"the footer of table `{stored.name}` is damaged",) if harm in ("footer", "table cut") else ()
    )
    assert not list(temporary.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_damage_never_ends_the_process(tmp_path, temporary, seed):
    """Tables that are not refused are whole; a fault of the library would end the tests."""
    expected = random_writes(tmp_path / "whole", seed, "snappy", 1500)
    rng = random.Random(seed)
    refused = 0
    for _ in range(60):
        shutil.rmtree(tmp_path / "db", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "db")
        files = [
            f for f in (tmp_path / "db").iterdir() if f.name not in ("LOCK", "LOG", "LOG.old") and f.stat().st_size
        ]
        file = rng.choice(sorted(files))
        data = bytearray(file.read_bytes())
        at = rng.randrange(len(data)) if rng.random() < 0.5 else max(0, len(data) - rng.randrange(1, FOOTER + 1))
        data[at : at + rng.choice((1, 9))] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 9))))
        file.write_bytes(data)
        try:
            found = contents(tmp_path / "db")
        except NetcError as error:
            refused += error.diagnostics[0].code == "E501"
        else:
            # LevelDB takes a log or manifest with a damaged end for one that was not written to its end.
            assert found == expected or file.suffix != ".ldb"
    assert 10 < refused < 60
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("footer", "sound"),
    [
        (bytes(48), True),
        (b"", True),
        (b"\xff" * 48, False),
        (b"\x00\x2b\x00\x2c".ljust(48, b"\0"), False),
        (b"\x00\x2b\x00\x2b".ljust(48, b"\0"), True),
        (b"\x00\x2b\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10".ljust(48, b"\0"), False),
    ],
)
def test_footers(tmp_path, footer, sound):
    (tmp_path / "table").write_bytes(footer)
    assert footer_is_sound(tmp_path / "table") is (sound and bool(footer))


def test_databases_of_another_kind(tmp_path):
    with fault("E501", "no database"):
        LevelDbStore(tmp_path / "none", "none")
    with fault("E501", "no file CURRENT"):
        LevelDbStore(tmp_path, "folder")
    layer = data_layer(make(tmp_path, random_images(1)))
    with fault("E501", "is a LevelDB, not an LMDB"):
        open_source(layer, "TEST")


def filled(folder, values):
    folder.mkdir()
    writer = LevelDbWriter(folder)
    for key, value in values.items():
        writer.put(key, value)
    writer.close()
    return folder


def values(count=200, large=3):
    generator = np.random.default_rng(2)
    sizes = [*generator.integers(0, 900, count), *[(1 << 24) + 1] * large]
    return {b"%08d_%s" % (i, b"x" * (i % 7)): generator.bytes(int(size)) for i, size in enumerate(sizes)}


def test_records_of_all_sizes_are_written_as_tables(tmp_path):
    wanted = values()
    folder = filled(tmp_path / "db", wanted)
    assert list(folder.glob("*.ldb"))
    assert not sum(file.stat().st_size for file in folder.glob("*.log"))
    assert contents(folder) == wanted
    with plyvel.DB(str(folder), paranoid_checks=True) as database:
        assert dict(database.iterator(verify_checksums=True)) == wanted


def test_an_empty_database(tmp_path):
    assert contents(filled(tmp_path / "db", {})) == {}


def test_keys_must_be_in_order(tmp_path):
    (tmp_path / "db").mkdir()
    writer = LevelDbWriter(tmp_path / "db")
    writer.put(b"2", b"")
    for key in (b"2", b"1"):
        with pytest.raises(ValueError, match="does not come after"):
            writer.put(key, b"")
    writer.abandon()


NET = """
layer {{ name: "data" type: "Data" top: "data" top: "label"
  data_param {{ source: "{source}" batch_size: 2 backend: LEVELDB }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param {{ num_output: 3 }} }}
"""


def test_without_plyvel_the_error_names_the_extra(tmp_path, monkeypatch, capsys):
    path = make(tmp_path, random_images(3))
    (tmp_path / "net.prototxt").write_text(NET.format(source=path))
    monkeypatch.setitem(sys.modules, "plyvel", None)
    with fault("E633", "a LevelDB needs the package `plyvel`, which is not installed") as caught:
        LevelDbStore(path, "db")
    assert caught.value.diagnostics[0].help == "install it: `pip install 'netc[leveldb]'`"
    with fault("E633", "writing a LevelDB needs the package `plyvel`"), new_database(tmp_path / "new", "leveldb"):
        pass
    assert not os.path.lexists(tmp_path / "new")
    main(["check", str(tmp_path / "net.prototxt")])
    found = capsys.readouterr().err
    assert "a LevelDB needs the package `plyvel`" in found
    assert "pip install 'netc[leveldb]'" in found
