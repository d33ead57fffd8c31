"""LevelDB, read without LevelDB."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netc.data import open_source
from netc.data.stores.leveldb import LevelDbStore
from netc.data.stores.snappy import decompress
from netc.diagnostics import NetcError
from tests.data import leveldb_writer as writer
from tests.data.databases import data_layer, fault, pictures, record


def contents(path) -> dict[bytes, bytes]:
    store = LevelDbStore(path, "db")
    keys = list(store.keys())
    assert keys == sorted(set(keys))
    with store.reading() as get:
        found = {key: bytes(get(key)) for key in keys}
        assert get(b"no such key") is None
    store.close()
    return found


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "snappy"])
@pytest.mark.parametrize("seed", range(4))
def test_the_newest_write_of_each_key_counts(tmp_path, seed, compressed):
    """Writes are dealt out as LevelDB keeps them: the older, the deeper; within a level tables do not overlap."""
    rng = random.Random(seed)
    keys = [b"key%03d" % i for i in range(60)]
    number, expected, tables = 0, {}, {}
    for depth, level in enumerate((2, 1, 0, 0)):
        chosen = sorted(rng.sample(keys, 40))
        writes: list[writer.Write] = []
        for key in chosen:
            number += 1
            value = None if rng.random() < 0.25 else rng.randbytes(rng.choice((0, 9, 500))) + b"run" + bytes(200)
            writes.append((key, number, value))
            expected[key] = value
        parts = [writes[:17], writes[17:]] if level else [writes]
        for i, part in enumerate(parts):
            tables[level, 10 * (depth + 1) + i] = part
    logged = [(rng.choice(keys), rng.choice((None, b"logged" * 8000))) for _ in range(30)]
    expected.update(logged)
    batches = [writer.batch(number + i + 1, [write]) for i, write in enumerate(logged)]
    path = writer.database(tmp_path / "db", tables, batches, compressed)
    assert contents(path) == {key: value for key, value in expected.items() if value is not None}


@given(st.binary(min_size=1, max_size=400), st.integers(1, 300))
def test_snappy(data, run):
    whole = data + data[-1:] * run
    assert decompress(memoryview(writer.snappy(whole))) == whole


@given(st.binary(max_size=60))
def test_any_bytes_are_snappy_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        assert isinstance(decompress(memoryview(data)), bytes)


def test_a_copy_may_reach_into_what_it_writes():
    assert decompress(memoryview(bytes([9, 8, *b"abc", 9, 3]))) == b"abcabcabc"


def make(tmp_path, images):
    writes = [(b"%08d" % i, i + 1, record(image, i)) for i, image in enumerate(images)]
    return writer.database(tmp_path / "db", {(1, 11): writes}, [], True)


def test_batches_of_a_leveldb(tmp_path):
    images = pictures(10)
    source = open_source(data_layer(make(tmp_path, images), 4, backend="LEVELDB"), "TEST")
    assert source.record_shapes == ((3, 7, 9), ())
    for order in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]):
        data, label = source.next_batch().tops
        np.testing.assert_array_equal(data, images[order])
        assert label.tolist() == order
    source.close()


def test_a_database_that_another_process_has_open(tmp_path):
    pytest.importorskip("fcntl")
    path = make(tmp_path, pictures(3))
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print('locked'); input()"
    command = [sys.executable, "-c", code, str(path / "LOCK")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"
        with fault("E507", "is open in another process"):
            LevelDbStore(path, "db")
        holder.communicate("\n")
    LevelDbStore(path, "db").close()


def test_a_folder_that_may_not_be_written(tmp_path):
    path = make(tmp_path, pictures(3))
    before = sorted((p.name, p.stat().st_mtime_ns) for p in path.iterdir())
    path.chmod(0o555)
    assert len(contents(path)) == 3
    path.chmod(0o755)
    assert sorted((p.name, p.stat().st_mtime_ns) for p in path.iterdir()) == before


@pytest.mark.parametrize("harm", ["table cut", "table gone", "no manifest", "table zeroed", "manifest cut"])
def test_damaged_databases(tmp_path, harm):
    path = make(tmp_path, pictures(10))
    stored, manifest = path / "000011.ldb", path / "MANIFEST-000005"
    if harm == "table cut":
        stored.write_bytes(stored.read_bytes()[:-100])
    elif harm == "table gone":
        stored.unlink()
    elif harm == "no manifest":
        manifest.unlink()
    elif harm == "table zeroed":
        stored.write_bytes(bytes(300) + stored.read_bytes()[300:])
    else:
        edit = manifest.read_bytes()
        manifest.write_bytes(edit[:5] + bytes([edit[5] + 1]) + edit[6:])
    with pytest.raises(NetcError) as caught:
        open_source(data_layer(path, 10, backend="LEVELDB"), "TEST").next_batch()
    assert caught.value.diagnostics[0].code == "E501"


def test_databases_of_another_kind(tmp_path):
    with fault("E501", "no database"):
        LevelDbStore(tmp_path / "none", "none")
    with fault("E501", "no file CURRENT"):
        LevelDbStore(tmp_path, "folder")
    layer = data_layer(make(tmp_path, pictures(1)))
    with fault("E501", "is a LevelDB, not an LMDB"):
        open_source(layer, "TEST")


def test_agrees_with_the_original(tmp_path):
    plyvel = pytest.importorskip("plyvel")
    rng = random.Random(5)
    for compression in ("snappy", None):
        path = tmp_path / str(compression)
        with plyvel.DB(str(path), create_if_missing=True, compression=compression, write_buffer_size=100_000) as db:
            for _ in range(4000):
                key = b"%05d" % rng.randrange(2000)
                if rng.random() < 0.2:
                    db.delete(key)
                else:
                    db.put(key, rng.randbytes(60) * rng.randrange(8))
            want = dict(db)
        assert contents(path) == want
