"""Damaged files of every format that netc reads."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from fuzz.campaigns.bases import files
from fuzz.campaigns.campaign import Campaign
from fuzz.case import Case
from fuzz.mutation import mutated_bytes

if TYPE_CHECKING:
    import random

TEST = ("test", "--iterations", "2", "--weights", "net_out.caffemodel", "--model")
READERS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    (
        "net_out.caffemodel",
        (
            ("weights", "--stats", "net_out.caffemodel"),
            ("weights", "net_out.caffemodel", "net.prototxt"),
            ("check", "net_out.caffemodel"),
            ("convert", "net_out.caffemodel", "--to", "onnx", "--output", "out.onnx"),
            ("convert", "net.prototxt", "--weights", "net_out.caffemodel", "--to", "pt", "--output", "out.pt"),
        ),
    ),
    ("snap_iter_6.caffemodel.h5", ()),
    (
        "hsnap_iter_6.caffemodel.h5",
        (
            ("weights", "--stats", "hsnap_iter_6.caffemodel.h5"),
            ("convert", "train.prototxt", "--weights", "hsnap_iter_6.caffemodel.h5", "--to", "pt", "--output", "out.pt"),
        ),
    ),
    ("snap_iter_4.solverstate", (("train", "--solver", "solver.prototxt", "--snapshot", "snap_iter_4.solverstate"),)),
    ("hsnap_iter_4.solverstate.h5", (("train", "--solver", "solver.prototxt", "--snapshot", "hsnap_iter_4.solverstate.h5"),)),
    ("mean.binaryproto", (("check", "train.prototxt"), ("test", "train.prototxt", "--iterations", "1"))),
    ("db/data.mdb", (("data", "check", "db"), ("data", "show", "db"), ("test", "train.prototxt", "--iterations", "1"))),
    ("data.h5", (("check", "hdf5_train.prototxt"), ("test", "hdf5_train.prototxt", "--iterations", "1"))),
    ("h5list.txt", (("check", "hdf5_train.prototxt"), ("test", "hdf5_train.prototxt", "--iterations", "1"))),
    ("list.txt", (("check", "image_train.prototxt"), ("test", "image_train.prototxt", "--iterations", "1"))),
    ("windows.txt", (("check", "window_train.prototxt"), ("test", "window_train.prototxt", "--iterations", "1"))),
    ("images/0.png", (("test", "image_train.prototxt", "--iterations", "1"), ("classify", "--model", "net.prototxt", "images/0.png"))),
    ("images/1.jpg", (("test", "image_train.prototxt", "--iterations", "1"), ("data", "images", "list.txt", "images/", "db2"))),
    ("net.onnx", (("verify", "net.prototxt", "net.onnx", "--weights", "net_out.caffemodel"),)),
    ("inputs.npz", (("verify", "net.prototxt", "net.py", "--weights", "net_out.caffemodel", "--input", "inputs.npz"), ("verify", "net.prototxt", "inputs.npz"))),
    ("input.npy", (("verify", "net.prototxt", "net.py", "--weights", "net_out.caffemodel", "--input", "input.npy"),)),
    ("net.pt", (("convert", "net.prototxt", "--weights", "net.pt", "--to", "caffe", "--output", "out.prototxt"), ("weights", "net.pt"))),
    ("net.safetensors", (("convert", "net.prototxt", "--weights", "net.safetensors", "--to", "caffe", "--output", "out.prototxt"), ("verify", "net.prototxt", "net.py", "--weights", "net_out.caffemodel"))),
    ("snap_iter_6.caffemodel", (("train", "--solver", "solver.prototxt", "--weights", "snap_iter_6.caffemodel", "--iterations", "1"), ("test", "train.prototxt", "--weights", "snap_iter_6.caffemodel", "--iterations", "1"))),
)
"""A file to damage, and the commands that read it."""


class DamagedFiles(Campaign):
    """Damaged files of every format that netc reads."""

    name = "files"

    def case(self, rng: random.Random) -> Case:
        """Return a set of sound files with one that is damaged."""
        sound = files()
        name, commands = rng.choice([reader for reader in READERS if reader[0] in sound])
        content = sound[name]
        zipped = name.endswith((".npz", ".pt")) and rng.random() < 0.5
        damaged = _damaged_member(content, rng) if zipped else mutated_bytes(content, rng)
        return Case({**_needed(sound, name), name: damaged}, (rng.choice(commands),))


def _needed(sound: dict[str, bytes], name: str) -> dict[str, bytes]:
    """The files without snapshots that no command names."""
    return {key: content for key, content in sound.items() if "_iter_" not in key or key.split(".")[0] == name.split(".")[0]}


def _damaged_member(content: bytes, rng: random.Random) -> bytes:
    """Damage a member of a zip archive, and leave the archive sound."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w") as new:
        chosen = rng.choice(old.namelist())
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, mutated_bytes(data, rng) if name == chosen else data)
    return result.getvalue()
