"""Shared parts of nets: data layers, losses, learning rates, fillers, solvers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model_zoo.prototxt import LMDB, TEST, TRAIN, Net, lines

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHT_AND_BIAS = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]
"""Caffe's convention: biases learn twice as fast and do not decay."""
WEIGHT = [{"lr_mult": 1, "decay_mult": 1}]

BLUE_GREEN_RED = [104, 117, 123]
"""Mean pixel of ImageNet in the order in which Caffe stores channels."""


def constant(value: float) -> dict[str, Any]:
    """A filler."""
    return {"type": "constant", "value": value}


def gaussian(std: float) -> dict[str, Any]:
    """A filler."""
    return {"type": "gaussian", "std": std}


def databases(
    net: Net, train: str, test: str, batches: tuple[int, int], transform: Mapping[str, Any], name: str = "data"
) -> str:
    """Two Data layers, one per phase; images are mirrored at random in training only if they are cropped."""
    net.comment("The data, one database per phase; see README.md.")
    for phase, source, batch in ((TRAIN, train, batches[0]), (TEST, test, batches[1])):
        mirror = {"mirror": True} if phase == TRAIN and "crop_size" in transform else {}
        net.layer(
            *(name, "Data", [], ["data", "label"]),
            include={"phase": phase},
            transform_param={**mirror, **transform},
            data_param={"source": source, "batch_size": batch, "backend": LMDB},
        )
    return "data"


def imagenet(net: Net, crop: int, batches: tuple[int, int]) -> str:
    """Images of 256x256 with the mean pixel subtracted."""
    transform = {"crop_size": crop, "mean_value": BLUE_GREEN_RED}
    return databases(net, "data/ilsvrc12/train_lmdb", "data/ilsvrc12/val_lmdb", batches, transform)


def ending(net: Net, scores: str, top5: bool = True) -> None:
    """Softmax for deployment; loss, and accuracies in test, for training."""
    if not net.train:
        net.layer("prob", "Softmax", scores, "prob")
        return
    accuracy(net, "accuracy", scores, 1)
    if top5:
        accuracy(net, "accuracy_top5", scores, 5)
    net.layer("loss", "SoftmaxWithLoss", [scores, "label"], "loss")


def accuracy(net: Net, name: str, scores: str, top_k: int) -> None:
    """The share of images whose label is among the `top_k` best scores; in test only."""
    message = {"top_k": top_k} if top_k > 1 else None
    net.layer(name, "Accuracy", [scores, "label"], name, include={"phase": TEST}, accuracy_param=message)


def solver(comment: str, model: str, **settings: Any) -> str:
    """A solver for models/<model>/train_val.prototxt that writes its snapshots next to it."""
    fields = {
        "net": f"models/{model}/train_val.prototxt",
        **settings,
        "snapshot_prefix": f"models/{model}/{model.replace('/', '_')}",
    }
    text = [f"# {line}" for line in comment.split("\n")]
    return "\n".join(text + [line for key, value in fields.items() for line in lines(key, value)]) + "\n"
