"""Unusual paths as input, output and source of every verb."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuzz.campaigns.bases import files
from fuzz.campaigns.campaign import Campaign
from fuzz.case import Case, Special, command_lines

if TYPE_CHECKING:
    import random

SPECIAL: dict[str, Special] = {"fifo": "fifo", "folder": "directory", "socket": "socket", "loop": "loop"}
PATHS = (
    *(
        "",
        ".",
        "..",
        "/",
        "-",
        "--",
        "missing",
        "missing/x",
        "fifo",
        "folder",
        "socket",
        "loop",
        "folder/",
        "~",
        "*",
        "\\",
    ),
    *(
        "/dev/zero",
        "/dev/null",
        "/dev/full",
        "/dev/stdin",
        "/proc/self/mem",
        "/proc/self/maps",
        "a\0b",
        "\udcff",
        "a\nb",
    ),
    *("a" * 300, "a" * 5000, "\x1b[31m", "net.prototxt/", "net.prototxt\0", "D:\\data", "file:///x", "http://x/"),
    *(
        "list.txt",
        "net.prototxt",
        "images/0.png",
        "net.pt",
        "db",
        "mean.binaryproto",
        "data.h5",
        "snap_iter_4.netc.json",
    ),
    "net_out.caffemodel",
)
COMMANDS = command_lines("""
    check @
    summary @
    fmt @
    upgrade @
    log @
    weights @
    time @ --iterations 1
    test @ --iterations 1
    train @
    plot @
    diff @ net.prototxt
    upgrade net.prototxt @
    convert @ --to onnx --output out.onnx
    convert net.prototxt --to onnx --output @
    convert net.prototxt --to py --output @
    convert net.prototxt --to pt --output @
    convert net.prototxt --to safetensors --output @
    convert net.prototxt --to caffe --output @
    convert net.prototxt --to pt2 --output @
    convert net.prototxt --weights @ --to pt --output out.pt
    convert net.prototxt --mean @ --to pt --output out.pt
    verify @ net.prototxt
    verify net.prototxt @
    verify net.prototxt net.py --input @
    classify --model net.prototxt @
    classify --model net.prototxt --labels @ images/0.png
    classify --model net.prototxt --mean @ images/0.png
    weights net_out.caffemodel @
    weights net_out.caffemodel --prototxt @
    train --solver solver.prototxt --weights @ --iterations 1
    train --solver solver.prototxt --snapshot @
    train --solver solver.prototxt --log-json @ --iterations 1
    train --solver solver.prototxt --tensorboard @ --iterations 1
    data show @
    data check @
    data mean @ out.binaryproto
    data mean db @
    data folder @ newdb
    data folder images @
    data images @ images/ newdb
    data images list.txt @ newdb
    data images list.txt images/ @
    data mnist @ @ newdb
    surgery crop net.prototxt norm @
    features net.prototxt --output @
""")
"""`@` is the unusual path."""
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
    """Unusual paths as input, output and source of every verb."""

    name = "paths"

    def case(self, rng: random.Random) -> Case:
        """Return a command with an unusual path, or a file that names one."""
        path = rng.choice(PATHS)
        if rng.random() < 0.6:
            command = tuple(path if word == "@" else word for word in rng.choice(COMMANDS))
            return Case(files(), (command,), SPECIAL)
        name, old = rng.choice(SOURCES)
        new = f'"{_quoted(path)}"' if '"' in old else path
        content = files()[name].decode().replace(old, new, 1).encode("utf-8", "surrogateescape")
        net = READERS.get(name, name)
        run = ("train", "--solver", net, "--iterations", "1") if "solver" in net else ("test", net, "--iterations", "1")
        return Case({**files(), name: content}, (rng.choice((("check", net), run)),), SPECIAL)


def _quoted(path: str) -> str:
    return path.replace("\\", "\\\\").replace("\n", "\\n").replace("\0", "\\000")
