"""The files that the examples of the error pages work on: one function per code, called in an empty folder.

An example runs in a folder with `net.prototxt`, `deploy.prototxt` and `solver.prototxt`, to which its function adds or
which it changes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from netc.diagnostics import NetcError
from tests.layers.meanings import register_upsample

NET = """
layer {
  name: "data"
  type: "DummyData"
  top: "data"
  top: "label"
  dummy_data_param { shape { dim: 2 dim: 5 } shape { dim: 2 } }
}
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
DEPLOY = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer {
  name: "fc"
  type: "InnerProduct"
  bottom: "data"
  top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } }
}
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
SOLVER = """
net: "net.prototxt"
base_lr: 0.01
lr_policy: "fixed"
max_iter: 2
random_seed: 1
solver_mode: CPU
"""
SAVED = 'snapshot: 1 snapshot_prefix: "small"'
LOG = """I0101 00:00:00.000000     1 solver.cpp:218] Iteration 0 (0 iter/s, 0s/1 iters), loss = 1.4
I0101 00:00:00.000000     1 sgd_solver.cpp:105] Iteration 0, lr = 0.01
I0101 00:00:01.000000     1 solver.cpp:218] Iteration 1 (1 iter/s, 1s/1 iters), loss = 1.2
I0101 00:00:01.000000     1 sgd_solver.cpp:105] Iteration 1, lr = 0.01
"""

PREPARE: dict[str, Callable[[], None]] = {}


def prepare(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the files of an example into the working directory."""
    if code in ("E014", "W014"):
        register_upsample(monkeypatch, likely=code == "W014")
    if code in ("E310", "E606"):
        monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    if code == "E633":
        for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name, text in (("net", NET), ("deploy", DEPLOY), ("solver", SOLVER)):
        write(f"{name}.prototxt", text)
    PREPARE.get(code, lambda: None)()


def files(code: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def add(function: Callable[[], None]) -> Callable[[], None]:
        PREPARE[code] = function
        return function

    return add


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


def edit(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    write(name, text.replace(old, new))


def train(arguments: str = "") -> None:
    """Train the solver of the folder, so that there is a snapshot."""
    from netc.cli import main

    write("solver.prototxt", SOLVER + SAVED)
    assert main(["train", "solver.prototxt", *arguments.split()]) == 0


def save_weights(name: str, **blobs: np.ndarray) -> None:
    """A .caffemodel with a layer of one blob for each keyword."""
    from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel

    write_caffemodel(name, Weights(tuple(LayerBlobs(layer, "", (BlobArray(a),)) for layer, a in blobs.items())))


def picture(name: str, height: int = 6, width: int = 7) -> None:
    import cv2

    Path(name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(name, np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3))


def lmdb_of(*records: bytes, name: str = "train_lmdb") -> None:
    import lmdb

    with lmdb.open(name, map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for i, value in enumerate(records):
            transaction.put(b"%08d" % i, value)


def layer_net(name: str, layer: str) -> None:
    """A net of one data layer and a loss."""
    rest = NET[NET.index('layer { name: "fc"') :]
    write(name, layer + rest)


def python_layer(bottom: str) -> str:
    return (
        f'layer {{ name: "py" type: "Python" bottom: "{bottom}" top: "py" '
        'python_param { module: "my_layers" layer: "Shift" } }\n'
    )


@files("W631")
def _() -> None:
    line = "I0101 00:00:00.000000     1 solver.cpp:218] Iteration 0, "
    write("odd.log", f"{line}loss = 1.4\n{line}lr = variable\n")


@files("E001")
def _() -> None:
    Path("mean.binaryproto").write_bytes(b"\x08\x01\x10\x03\x18\x01\x20\x01\x2a\x04\x00\x00\x80\x3f")


@files("E005")
def _() -> None:
    write("deep.prototxt", "layer { " * 101)


@files("E201")
def _() -> None:
    edit("net.prototxt", 'bottom: "fc" bottom: "label"', 'bottom: "py" bottom: "label"')
    write(
        "net.prototxt",
        Path("net.prototxt").read_text().replace('layer { name: "loss"', python_layer("fc") + '\nlayer { name: "loss"'),
    )


@files("E203")
def _() -> None:
    layer_net(
        "net.prototxt",
        'layer { name: "data" type: "Data" top: "data" top: "label" '
        'data_param { source: "train_lmdb" batch_size: 2 } }\n',
    )


@files("E212")
def _() -> None:
    edit("net.prototxt", 'bottom: "fc" bottom: "label"', 'bottom: "py" bottom: "label"')
    text = Path("net.prototxt").read_text()
    at = text.index('layer { name: "loss"')
    write("net.prototxt", text[:at] + python_layer("fc").replace("my_layers", "broken_layers") + text[at:])
    write(
        "broken_layers.py",
        "import caffe\n\n\nclass Shift(caffe.Layer):\n"
        "    def reshape(self, bottom, top):\n        top[0].reshape(1 // 0)\n",
    )


@files("E211")
def _() -> None:
    PREPARE["E201"]()


@files("E304")
def _() -> None:
    edit("deploy.prototxt", "dim: 8 dim: 8", "dim: 8 dim: 8 dim: 8")


@files("E306")
def _() -> None:
    save_weights("other.caffemodel", fc=np.zeros((7, 192), np.float32))


@files("E307")
def _() -> None:
    edit("deploy.prototxt", "dim: 3", "dim: 1")


@files("E402")
def _() -> None:
    write("lenet.caffemodel", 'name: "LeNet"\n')


@files("E403")
def _() -> None:
    save_weights("lenet.caffemodel", conv1=np.ones((20, 25), np.float32))
    data = Path("lenet.caffemodel").read_bytes()
    Path("lenet.caffemodel").write_bytes(data[: len(data) // 2])


@files("E404")
def _() -> None:
    from netc.schema import caffe

    blob = caffe.BlobProto(data=[0.0] * 499)
    blob.shape.dim.extend([20, 1, 5, 5])
    net = caffe.NetParameter()
    net.layer.add(name="conv1", type="Convolution").blobs.append(blob)
    Path("lenet.caffemodel").write_bytes(net.SerializeToString())


@files("E405")
def _() -> None:
    import h5py

    with h5py.File("lenet.caffemodel.h5", "w") as file:
        file.create_group("data/" + "/".join("g" * 40))


@files("E406")
def _() -> None:
    import h5py

    with h5py.File("lenet.caffemodel.h5", "w") as file:
        file.create_group("data/conv1")["0"] = h5py.ExternalLink("other.h5", "values")


@files("E502")
def _() -> None:
    write("train.txt", "")


@files("E503")
def _() -> None:
    lmdb_of(b"not a Datum")


@files("E504")
def _() -> None:
    picture("images/cat.jpg", 40, 50)
    data = Path("images/cat.jpg").read_bytes()
    Path("images/cat.jpg").write_bytes(data[: len(data) // 2])
    write("train.txt", "cat.jpg 0\n")


@files("E505")
def _() -> None:
    picture("cat.png", 200, 200)
    picture("dog.png", 100, 200)
    write("train.txt", "cat.png 0\ndog.png 1\n")
    layer_net(
        "net.prototxt",
        'layer { name: "data" type: "ImageData" top: "data" top: "label" '
        'image_data_param { source: "train.txt" batch_size: 2 } }\n',
    )


@files("E506")
def _() -> None:
    picture("images/cat.jpg")
    write("train.txt", "cat.jpg\n")


@files("E508")
def _() -> None:
    import h5py

    with h5py.File("train.h5", "w") as file:
        file["data"] = np.zeros((4, 5), np.float32)
    write("files.txt", "train.h5\n")
    layer_net(
        "net.prototxt",
        """layer {
  name: "data"
  type: "HDF5Data"
  top: "data"
  top: "label"
  hdf5_data_param { source: "files.txt" batch_size: 2 }
}
""",
    )


@files("E509")
def _() -> None:
    picture("cat.png", 40, 50)
    write("windows.txt", "# 0\ncat.png\n3\n40\n50\n1\n0 0.1 0 0 9 9\n")
    layer_net(
        "net.prototxt",
        """layer {
  name: "data"
  type: "WindowData"
  top: "data"
  top: "label"
  transform_param { crop_size: 20 }
  window_data_param { source: "windows.txt" batch_size: 8 }
}
""",
    )


@files("E510")
def _() -> None:
    head = lambda magic, *extents: b"".join(n.to_bytes(4, "big") for n in (magic, *extents))
    Path("train-images").write_bytes(head(2051, 3, 28, 28) + bytes(3 * 784))
    Path("train-labels").write_bytes(head(2049, 2) + bytes(2))


@files("E511")
def _() -> None:
    picture("images/cat.jpg")
    write("train.txt", "cat.jpg 0\n")
    lmdb_of(b"")


@files("E512")
def _() -> None:
    picture("images/cat.jpg")
    write("train.txt", "cat.jpg 0\n")


VOC = """<annotation>
  <size><width>9</width><height>8</height><depth>3</depth></size>
  <object><name>{}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>5</ymax></bndbox></object>
</annotation>
"""


def voc(name: str, right: int) -> None:
    """An annotated image, and a label map."""
    picture("voc/JPEGImages/1.jpg", 8, 9)
    Path("voc/Annotations").mkdir()
    write("voc/Annotations/1.xml", VOC.format(name, right))
    write("labelmap.prototxt", 'item { name: "triangle" label: 1 }')


@files("E513")
def _() -> None:
    voc("trinagle", 5)


@files("W513")
def _() -> None:
    voc("triangle", 50)


@files("E605")
def _() -> None:
    write("solver.prototxt", SOLVER + 'snapshot: 1 snapshot_prefix: "snapshots/small"')


@files("E607")
def _() -> None:
    layer_net(
        "net.prototxt",
        'layer { name: "data" type: "Input" top: "data" top: "label" '
        "input_param { shape { dim: 2 dim: 5 } shape { dim: 2 } } }\n",
    )


@files("E608")
def _() -> None:
    train()


@files("E609")
def _() -> None:
    write("solver.prototxt", SOLVER + "test_iter: 1 test_interval: 1")


@files("E611")
def _() -> None:
    layer_net(
        "net.prototxt",
        """layer {
  name: "data"
  type: "DummyData"
  top: "words"
  top: "label"
  dummy_data_param { shape { dim: 2 dim: 5 } shape { dim: 2 } }
}
layer {
  name: "embed"
  type: "Embed"
  bottom: "words"
  top: "data"
  embed_param { num_output: 3 input_dim: 9 }
}
""",
    )


@files("E631")
def _() -> None:
    write("train.log", "no iteration\n")


@files("E634")
def _() -> None:
    write("train.log", LOG)


@files("E633")
def _() -> None:
    write("train.log", LOG)


@files("E701")
def _() -> None:
    write(
        "net.prototxt",
        """layer {
  name: "data"
  type: "DummyData"
  top: "data"
  top: "target"
  dummy_data_param {
    shape { dim: 2 dim: 5 }
    shape { dim: 2 dim: 4 }
    data_filler { value: 1 }
    data_filler { value: 2 }
  }
}
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "target" top: "loss" }
""",
    )
    edit("solver.prototxt", "base_lr: 0.01", "base_lr: 1e9")
    edit("solver.prototxt", "max_iter: 2", "max_iter: 20")


@files("E702")
def _() -> None:
    train()
    Path("small_iter_2.caffemodel").unlink()


@files("E703")
def _() -> None:
    train()
    write("solver.prototxt", SOLVER + 'type: "Adam"')


@files("E705")
def _() -> None:
    train()
    Path("small_iter_2.caffemodel").write_bytes(Path("small_iter_1.caffemodel").read_bytes())


@files("E706")
def _() -> None:
    train()
    sidecar = Path("small_iter_2.netc.json")
    sidecar.write_text(sidecar.read_text().replace('"smoothed": ', '"smoothed": "" '[:-1] + ', "was": '))


@files("E804")
def _() -> None:
    np.savez("dump.npz", scores=np.zeros((2, 4), np.float32))
    np.save("input.npy", np.zeros((2, 3, 8, 8), np.float32))


@files("W039")
def _() -> None:
    edit("net.prototxt", "num_output: 4", "num_output: $classes")


@files("E704")
def _() -> None:
    picture("small.png", 20, 20)
    picture("large.png", 30, 20)
    write("test.txt", "small.png 0\nlarge.png 1\n")
    write(
        "net.prototxt",
        """layer {
  name: "data"
  type: "ImageData"
  top: "data"
  top: "label"
  image_data_param { source: "test.txt" batch_size: 1 }
}
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 3 } }
""",
    )
    write("solver.prototxt", SOLVER + "test_iter: 2 test_interval: 1")


@files("E801")
def _() -> None:
    write("net.prototxt", DEPLOY[: DEPLOY.index('layer { name: "prob"')] + python_layer("fc"))


@files("E802")
def _() -> None:
    write(
        "net.prototxt",
        'layer { name: "data" type: "Input" top: "data" }\n'
        'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }\n',
    )


@files("E806")
def _() -> None:
    from netc.weights import BlobArray, LayerBlobs, Weights, write_caffemodel_hdf5

    layer = LayerBlobs("fc", "InnerProduct", (BlobArray(np.zeros((4, 5), np.float32)),))
    write_caffemodel_hdf5("weights.caffemodel.h5", Weights((layer,)))


@files("W801")
def _() -> None:
    write(
        "train_val.prototxt",
        """layer {
  name: "data"
  type: "ImageData"
  top: "data"
  top: "label"
  transform_param { mean_file: "imagenet_mean.binaryproto" crop_size: 8 }
  image_data_param { source: "train.txt" batch_size: 1 }
}
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
""",
    )


@files("W411")
def _() -> None:
    warnings.simplefilter("ignore", UserWarning)
    save_weights("other.caffemodel", other=np.ones((2, 2), np.float32))


@files("W802")
def _() -> None:
    save_weights("other.caffemodel", conv1=np.zeros((4, 5), np.float32))


HDF5_OUTPUT = (
    'layer { name: "out" type: "HDF5Output" bottom: "%s" bottom: "%s" hdf5_output_param { file_name: "fc.h5" } }\n'
)


@files("E412")
def _() -> None:
    train()
    write("net.prototxt", NET.strip() + "\n" + HDF5_OUTPUT % ("fc", "label"))
    write("fc.h5", "notes")


@files("W806")
def _() -> None:
    warnings.simplefilter("ignore", UserWarning)
    write("net.prototxt", NET.strip() + "\n" + HDF5_OUTPUT % ("fc", "label"))


@files("W803")
def _() -> None:
    train()


@files("W807")
def _() -> None:
    picture("cat.png")
    write("scores.prototxt", DEPLOY.replace('layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }', ""))


@files("W805")
def _() -> None:
    write("net.prototxt", DEPLOY.strip() + "\n" + HDF5_OUTPUT % ("fc", "fc"))


def ended_process() -> NetcError:
    from netc.training.distributed import launcher

    return launcher._ended(1, -signal.SIGKILL, 2)


def locked_database() -> NetcError:
    from netc.data.stores.leveldb import LevelDbStore

    Path("train_leveldb").mkdir()
    Path("train_leveldb/CURRENT").touch()
    code = "import fcntl; f = open('train_leveldb/LOCK', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print('locked'); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        try:
            with pytest.raises(NetcError) as caught:
                LevelDbStore(Path("train_leveldb"), "train_leveldb")
        finally:
            holder.communicate(b"\n")
    return caught.value


PRODUCE: dict[str, Callable[[], NetcError]] = {"E507": locked_database, "E621": ended_process}
"""The errors of examples that are no command and no short program."""
