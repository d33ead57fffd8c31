"""LeNet with Dropout, on shuffled images with random crops: stopped and resumed anywhere, it ends in equal bits."""

from contextlib import closing
from pathlib import Path

import cv2
import pytest
import torch

from netc.data.sources.database import DatumRecords
from netc.data.stores.lmdb import LmdbStore
from netc.training.log import events
from netc.training.solver.settings import read_settings
from netc.training.solver.solver import Solver

LENET = Path(__file__).parents[3] / "models" / "lenet"
IMAGES, ITERATIONS = 52, 9
SOLVER = """
net: "net.prototxt" test_iter: 2 test_interval: 4 test_iter: 1 type: "{type}"
base_lr: 0.01 {momentum} weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001 power: 0.75 average_loss: 3 iter_size: 2
display: 1 max_iter: 9 snapshot_after_train: false snapshot_prefix: "lenet" random_seed: 7 solver_mode: CPU
netc_param {{ ema_decay: 0.9 }}
"""
DATA = """
  type: "ImageData" image_data_param { source: "list.txt" batch_size: 8 shuffle: true is_color: false }
  transform_param { scale: 0.00390625 crop_size: 24 mirror: true } """


@pytest.fixture
def lenet(tmp_path, monkeypatch):
    """A folder with images of digits, and LeNet with Dropout over them."""
    monkeypatch.chdir(tmp_path)
    with closing(DatumRecords(LmdbStore(LENET / "train_lmdb", "digits"))) as records, records.reading() as read:
        digits = [(record.image[0].copy(), record.label) for record in map(read, range(IMAGES))]
    for index, (image, _) in enumerate(digits):
        cv2.imwrite(f"{index}.png", image)
    Path("list.txt").write_text("".join(f"{index}.png {label}\n" for index, (_, label) in enumerate(digits)))
    text = (LENET / "train_val.prototxt").read_text()
    for name in ("train", "test"):
        size = "64" if name == "train" else "60"
        old = f'data_param {{ source: "models/lenet/{name}_lmdb" batch_size: {size} backend: LMDB }}'
        assert old in text
        text = text.replace(old, "")
    text = text.replace("  transform_param { scale: 0.00390625 }\n", DATA).replace('  type: "Data"\n', "")
    dropout = 'layer { name: "drop1" type: "Dropout" bottom: "ip1" top: "ip1" }\n'
    text = text.replace('layer {\n  name: "ip2"', dropout + 'layer {\n  name: "ip2"')
    assert dropout in text
    Path("net.prototxt").write_text(text)
    return tmp_path


def run(type_name, resume="", stop=None):
    """A run of the solver, from a snapshot or for some iterations; what it reported, its weights and their average."""
    momentum = "" if type_name in ("AdaGrad", "RMSProp") else "momentum: 0.9"
    Path("solver.prototxt").write_text(SOLVER.format(type=type_name, momentum=momentum))
    heard = []
    with Solver(read_settings("solver.prototxt"), listener=heard.append) as solver:
        if resume:
            solver.restore(resume)
        if stop is None:
            solver.solve()
        else:
            solver.step(stop)
            solver.snapshot()
        weights = [blob.data.clone() for blob in solver.net.blobs]
        with solver.state.weight_average.applied():
            weights += [blob.data.clone() for blob in solver.net.blobs]
    return heard, weights + solver.state.optimizer.history()


def shown(heard, since):
    kinds = (events.IterationDisplayed, events.TestFinished)
    return [(type(e), e.iteration, e.outputs, e.loss) for e in heard if isinstance(e, kinds) and e.iteration >= since]


@pytest.mark.parametrize("type_name", ["SGD", pytest.param("Adam", marks=pytest.mark.slow)])
def test_bit_equal_at_three_stopping_points(lenet, type_name):
    heard, whole = run(type_name)
    assert len(shown(heard, 0)) == ITERATIONS + 2 * 3
    assert len({outputs for kind, _, outputs, _ in shown(heard, 0)}) == ITERATIONS + 2 * 3, "nothing repeats"
    for stop in (1, 4, 7):
        run(type_name, stop=stop)
        torch.manual_seed(stop)  # another process has other random numbers
        again, resumed = run(type_name, f"lenet_iter_{stop}.solverstate")
        assert all(torch.equal(a, b) for a, b in zip(whole, resumed))
        assert shown(again, stop) == shown(heard, stop)
