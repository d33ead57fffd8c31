"""Odd paths as input, output and source of every verb."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.campaigns.bases import files
from fuzz.campaigns.campaign import Campaign
from fuzz.case import Case, Special

if TYPE_CHECKING:
    import random

SPECIAL: dict[str, Special] = {"fifo": "fifo", "folder": "directory", "socket": "socket", "loop": "loop"}
PATHS = (
    *("", ".", "..", "/", "-", "--", "missing", "missing/x", "fifo", "folder", "socket", "loop", "folder/", "net.prototxt/"),
    *("/dev/zero", "/dev/null", "/dev/full", "/dev/stdin", "/proc/self/mem", "/proc/self/maps", "a\0b", "\udcff", "a" * 300),
    *("a" * 5000, "\x1b[31m", "list.txt", "net.prototxt", "images/0.png", "net.pt", "db", "mean.binaryproto", "data.h5", "~", "*"),
    *("\\", "D:\\data", "file:///x", "http://x/", "a\nb", "net.prototxt\0", "snap_iter_4.netc.json", "net_out.caffemodel"),
)
PLACE = "@"
"""Where the odd path goes."""
COMMANDS: tuple[tuple[str, ...], ...] = (
    *((verb, PLACE) for verb in ("check", "summary", "fmt", "upgrade", "log", "weights", "time", "test", "train")),
    ("diff", PLACE, "net.prototxt"),
    ("upgrade", "net.prototxt", PLACE),
    ("convert", PLACE, "--to", "onnx", "--output", "out.onnx"),
    *(
        ("convert", "net.prototxt", "--to", form, "--output", PLACE)
        for form in ("onnx", "py", "pt", "safetensors", "caffe", "pt2")
    ),
    ("convert", "net.prototxt", "--weights", PLACE, "--to", "pt", "--output", "out.pt"),
    ("convert", "net.prototxt", "--mean", PLACE, "--to", "pt", "--output", "out.pt"),
    ("verify", PLACE, "net.prototxt"),
    ("verify", "net.prototxt", PLACE),
    ("verify", "net.prototxt", "net.py", "--input", PLACE),
    ("classify", "--model", "net.prototxt", PLACE),
    ("classify", "--model", "net.prototxt", "--labels", PLACE, "images/0.png"),
    ("classify", "--model", "net.prototxt", "--mean", PLACE, "images/0.png"),
    ("weights", "net_out.caffemodel", PLACE),
    ("weights", "net_out.caffemodel", "--prototxt", PLACE),
    ("train", "--solver", "solver.prototxt", "--weights", PLACE, "--iterations", "1"),
    ("train", "--solver", "solver.prototxt", "--snapshot", PLACE),
    ("train", "--solver", "solver.prototxt", "--log-json", PLACE, "--iterations", "1"),
    ("train", "--solver", "solver.prototxt", "--tensorboard", PLACE, "--iterations", "1"),
    ("plot", PLACE),
    ("data", "show", PLACE),
    ("data", "check", PLACE),
    ("data", "mean", PLACE, "out.binaryproto"),
    ("data", "mean", "db", PLACE),
    ("data", "folder", PLACE, "newdb"),
    ("data", "folder", "images", PLACE),
    ("data", "images", PLACE, "images/", "newdb"),
    ("data", "images", "list.txt", PLACE, "newdb"),
    ("data", "images", "list.txt", "images/", PLACE),
    ("data", "mnist", PLACE, PLACE, "newdb"),
    ("surgery", "crop", "net.prototxt", "norm", PLACE),
    ("features", "net.prototxt", "--output", PLACE),
)
SOURCES = (
    ("train.prototxt", '"db"'),
    ("train.prototxt", '"mean.binaryproto"'),
    ("image_train.prototxt", '"list.txt"'),
    ("image_train.prototxt", '"images/"'),
    ("hdf5_train.prototxt", '"h5list.txt"'),
    ("window_train.prototxt", '"windows.txt"'),
    ("solver.prototxt", '"train.prototxt"'),
    ("solver.prototxt", '"snap"'),
    ("list.txt", "0.png"),
    ("h5list.txt", "data.h5"),
    ("windows.txt", "images/0.png"),
)
"""A file, and a path in it."""
READERS = {
    "list.txt": "image_train.prototxt",
    "h5list.txt": "hdf5_train.prototxt",
    "windows.txt": "window_train.prototxt",
}


class Paths(Campaign):
    """Odd paths as input, output and source of every verb."""

    name = "paths"

    def case(self, rng: random.Random) -> Case:
        """Return a command with an odd path, or a file that names one."""
        path = rng.choice(PATHS)
        if rng.random() < 0.6:
            command = tuple(path if word == PLACE else word for word in rng.choice(COMMANDS))
            return Case(files(), (command,), SPECIAL)
        name, old = rng.choice(SOURCES)
        new = '"' + path.replace("\\", "\\\\").replace("\n", "\\n").replace("\0", "\\000") + '"' if '"' in old else path
        content = files()[name].decode().replace(old, new, 1).encode("utf-8", "surrogateescape")
        net = READERS.get(name, name)
        run = ("train", "--solver", net, "--iterations", "1") if "solver" in net else ("test", net, "--iterations", "1")
        return Case({**files(), name: content}, (rng.choice((("check", net), run)),), SPECIAL)
