"""Output that cannot be written: a full disk, a closed or broken standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.campaigns.bases import files
from fuzz.campaigns.campaign import Campaign
from fuzz.case import Case, Stdout, command_lines

if TYPE_CHECKING:
    import random

WRITERS = command_lines("""
    convert net.prototxt --to caffe --output out.prototxt
    convert net.prototxt --to onnx --output out.onnx
    convert net.prototxt --to py --output out.py
    convert net.prototxt --to pt --output out.pt
    convert net.prototxt --to safetensors --output out.safetensors
    convert net.prototxt --to pt2 --output out.pt2
    upgrade net.prototxt out.prototxt
    fmt net.prototxt
    weights net_out.caffemodel --prototxt out.prototxt
    data images list.txt images/ newdb
    data images list.txt images/ newdb --backend leveldb
    data mean db out.binaryproto
    train --solver solver.prototxt --log-json log.json
    train --solver hdf5_solver.prototxt
    surgery crop net.prototxt norm out.prototxt
""")
PRINTERS = command_lines("""
    check net.prototxt
    check --format json net.prototxt
    summary net.prototxt
    summary net.prototxt --format json
    diff net.prototxt train.prototxt
    fmt --diff net.prototxt
    upgrade net.prototxt -
    explain E001
    explain Convolution
    weights net_out.caffemodel
    verify net.prototxt net.prototxt
    classify --model net.prototxt images/0.png
    data show db
    data check db
    time net.prototxt --iterations 1
    test train.prototxt --iterations 1
    train --solver solver.prototxt --iterations 1
    --help
    train --help
    --version
""")
STDOUT: tuple[Stdout, ...] = ("full", "closed", "broken")


class FullDisk(Campaign):
    """Output that cannot be written: a full disk, a closed or broken standard output."""

    name = "disk"

    def case(self, rng: random.Random) -> Case:
        """Return a command whose output fails."""
        if rng.random() < 0.4:
            return Case(files(), (rng.choice(PRINTERS),), stdout=rng.choice(STDOUT))
        return Case(files(), (rng.choice(WRITERS),), file_size=int(2 ** rng.uniform(0, 16)))
