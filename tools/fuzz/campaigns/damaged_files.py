"""Damaged files of every format that netc reads."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from fuzz.campaigns.bases import files
from fuzz.campaigns.campaign import Campaign
from fuzz.case import Case, command_lines
from fuzz.mutation import mutated_bytes

if TYPE_CHECKING:
    import random

READERS = {
    "net_out.caffemodel": """
        weights --stats net_out.caffemodel
        weights net_out.caffemodel net.prototxt
        check net_out.caffemodel
        convert net_out.caffemodel --to onnx --output out.onnx
        convert net.prototxt --weights net_out.caffemodel --to pt --output out.pt
    """,
    "snap_iter_6.caffemodel": """
        train --solver solver.prototxt --weights snap_iter_6.caffemodel --iterations 1
        test train.prototxt --weights snap_iter_6.caffemodel --iterations 1
    """,
    "hsnap_iter_6.caffemodel.h5": """
        weights --stats hsnap_iter_6.caffemodel.h5
        convert train.prototxt --weights hsnap_iter_6.caffemodel.h5 --to pt --output out.pt
        test train.prototxt --weights hsnap_iter_6.caffemodel.h5 --iterations 1
    """,
    "snap_iter_4.solverstate": "train --solver solver.prototxt --snapshot snap_iter_4.solverstate",
    "hsnap_iter_4.solverstate.h5": "train --solver solver.prototxt --snapshot hsnap_iter_4.solverstate.h5",
    "mean.binaryproto": """
        check train.prototxt
        test train.prototxt --iterations 1
        classify --model net.prototxt --mean mean.binaryproto images/0.png
    """,
    "db/data.mdb": """
        check train.prototxt
        data check db
        data show db
        test train.prototxt --iterations 1
    """,
    "data.h5": "check hdf5_train.prototxt\n test hdf5_train.prototxt --iterations 1",
    "h5list.txt": "check hdf5_train.prototxt\n test hdf5_train.prototxt --iterations 1",
    "list.txt": "check image_train.prototxt\n test image_train.prototxt --iterations 1",
    "windows.txt": "check window_train.prototxt\n test window_train.prototxt --iterations 1",
    "images/0.png": """
        test image_train.prototxt --iterations 1
        classify --model net.prototxt images/0.png
    """,
    "images/1.jpg": """
        test image_train.prototxt --iterations 1
        data images list.txt images/ db2
    """,
    "net.onnx": "verify net.prototxt net.onnx --weights net_out.caffemodel",
    "inputs.npz": """
        verify net.prototxt net.py --weights net_out.caffemodel --input inputs.npz
        verify net.prototxt inputs.npz --weights net_out.caffemodel
    """,
    "input.npy": "verify net.prototxt net.py --weights net_out.caffemodel --input input.npy",
    "net.pt": """
        convert net.prototxt --weights net.pt --to caffe --output out.prototxt
        weights net.pt
    """,
    "net.safetensors": """
        convert net.prototxt --weights net.safetensors --to caffe --output out.prototxt
        verify net.prototxt net.py --weights net_out.caffemodel
    """,
}
"""Commands that read a file."""


class DamagedFiles(Campaign):
    """Damaged files of every format that netc reads."""

    name = "files"

    def case(self, rng: random.Random) -> Case:
        """Return a set of sound files with one that is damaged."""
        sound = files()
        name = rng.choice(sorted(READERS))
        content = sound[name]
        zipped = name.endswith((".npz", ".pt")) and rng.random() < 0.5
        damaged = _damaged_member(content, rng) if zipped else mutated_bytes(content, rng)
        return Case({**_needed(sound, name), name: damaged}, (rng.choice(command_lines(READERS[name])),))


def _needed(sound: dict[str, bytes], name: str) -> dict[str, bytes]:
    """The files without snapshots that no command names."""
    snapshot = name.partition(".")[0]
    return {key: content for key, content in sound.items() if "_iter_" not in key or key.startswith(f"{snapshot}.")}


def _damaged_member(content: bytes, rng: random.Random) -> bytes:
    """Damage a member of a zip archive, and leave the archive sound."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(result, "w") as new:
        chosen = rng.choice(old.namelist())
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, mutated_bytes(data, rng) if name == chosen else data)
    return result.getvalue()
