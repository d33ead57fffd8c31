"""PREFIX_iter_N.netc.json: what a snapshot needs in addition to Caffe's files to resume a run exactly.

    iteration, model       the snapshot that it belongs to; `model` is the SHA-256 of its weights file
    loss                   the window of the averaged loss
    random                 states of torch's generators, by rank and device
    train, test            states of the data layers, by node key; one object per test net
    recurrent              states of recurrent layers, by rank and net
    world_size             number of processes
    schedule               state of the learning rate policy
    watch, ema, loss_scale the best test so far, updates of the averaged weights, the loss scale; null where not used

Caffe ignores it. Without it a run resumes at record iterations x iter_size x batch_size. Format 2, of earlier versions,
has the CRC-32 of the weights as `model`.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from netc.diagnostics import NetcError
from netc.runtime.generator_state import decoded, encoded
from netc.training.snapshots.json_check import (
    Check,
    InvalidFieldError,
    entries,
    integer,
    items,
    number,
    optional,
    read_json,
    record,
    text,
)
from netc.training.snapshots.json_check import encoded as encoded_field
from netc.training.snapshots.recurrent_state import check_state
from netc.weights import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from netc.data.feeds.feed import LayerFeed
    from netc.runtime.net_weights import Array

FORMAT, CRC_FORMAT = 3, 2
STATE_ENDINGS = (".solverstate", ".solverstate.h5")
MAX_POSITION = 2**53
"""Records, times processes, that fit in 64 bits."""


def sidecar_path(state: str | Path) -> Path:
    """Return the path of a solver state's sidecar.

    >>> sidecar_path("lenet_iter_10.solverstate.h5").name
    'lenet_iter_10.netc.json'
    """
    text = str(state)
    for ending in STATE_ENDINGS:
        if text.endswith(ending):
            return Path(text[: -len(ending)] + ".netc.json")
    return Path(f"{text}.netc.json")


def write_sidecar(path: str, content: dict[str, Any]) -> None:
    """Write the sidecar atomically. Raises NetcError E408."""
    with atomic_write(path) as file:
        file.write(json.dumps({"format": FORMAT, **content}, indent=1).encode())


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Return the checked content, or None if the file does not exist.

    Raises NetcError E706 for a file that cannot be read, has another format, or whose fields have other types or values
    out of range.
    """
    try:
        content: dict[str, Any] = read_json(path, _content)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise unusable(path, str(error)) from error
    return content


def check_feeds(path: Path, content: dict[str, Any], nets: Sequence[dict[str, LayerFeed]]) -> None:
    """Raise NetcError E706 unless the states of data layers fit the feeds of a run, the train net's first."""
    names = ["train", *(f"test[{index}]" for index in range(len(nets)))]
    for name, feeds, states in zip(names, nets, (content["train"], *content["test"])):
        for key in feeds.keys() & states.keys():
            try:
                _feed_state(feeds[key].state())(states[key], f"{name}.{key}")
            except InvalidFieldError as error:
                raise unusable(path, str(error)) from error


def unusable(path: Path, reason: str) -> NetcError:
    """Return the error for a damaged sidecar."""
    help = f"remove `{path}` to resume with data from the position that the iteration implies"
    return NetcError(f"`{path}` is damaged: {reason}", code="E706", help=help)


def checksum(arrays: Iterable[Array]) -> int:
    """Return the CRC-32 of weights, in order, as float32."""
    result = 0
    for array in arrays:
        result = zlib.crc32(np.ascontiguousarray(array, dtype="<f4").data.cast("B"), result)
    return result


def random_state() -> dict[str, Any]:
    """Return the states of torch's global random generators."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": encoded(torch.get_rng_state()), "cuda": [encoded(state) for state in cuda]}


def restore_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`. Raises NetcError E703 for states that torch rejects."""
    try:
        torch.set_rng_state(decoded(state["cpu"]))
        for index, text in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(decoded(text), index)
    except (RuntimeError, ValueError, TypeError) as error:
        raise NetcError(
            "the snapshot's random state was saved by another PyTorch version", code="E703", notes=[str(error)]
        ) from error


def _content(content: Any, field: str) -> None:
    """The schema of the file: first the format, then the number of processes, which determines lengths."""
    record({"format": integer()})(content, field)
    if content["format"] not in (FORMAT, CRC_FORMAT):
        raise InvalidFieldError("format", content["format"], f"{FORMAT} or {CRC_FORMAT}")
    record({"world_size": integer(1, 1 << 20)})(content, field)
    states = items(items(entries(check_state)), content["world_size"])
    record({**FIELDS, **_versioned(content["format"], content["world_size"])}, {"recurrent": states})(content, field)


def _versioned(version: int, world_size: int) -> dict[str, Check]:
    return {
        "model": integer(0, 2**32 - 1) if version == CRC_FORMAT else text,
        "random": items(record({"cpu": _generator, "cuda": items(encoded_field)}), world_size),
    }


def _feed_state(own: dict[str, Any]) -> Check:
    """The schema of a data layer's state: the fields of `own`, with generators of the same size."""
    return record(
        {
            name: _generator if isinstance(value, str) else FEED.get(name, integer(0, MAX_POSITION))
            for name, value in own.items()
        }
    )


def _generator(value: Any, field: str) -> None:
    encoded_field(value, field)
    try:
        torch.Generator().set_state(decoded(value))
    except (RuntimeError, ValueError, TypeError):
        raise InvalidFieldError(field, value, "the state of a random generator") from None


FEED: dict[str, Check] = {"seed": integer(-(2**63), 2**64), "position": integer(0, MAX_POSITION)}
FIELDS: dict[str, Check] = {
    "iteration": integer(),
    "loss": record({"smoothed": number(), "losses": items(number()), "start": integer()}),
    "train": entries(record({}, {**FEED, "generator": encoded_field})),
    "test": items(entries(record({}, {**FEED, "generator": encoded_field}))),
    "schedule": record({"least_loss": optional(number()), "last_event": integer()}),
    "watch": optional(
        record(
            {"name": text, "best": optional(number()), "iteration": integer(), "misses": integer()},
            {"tested": optional(integer())},
        )
    ),
    "ema": optional(integer()),
    "loss_scale": optional(record({"scale": number(1), "good": integer()})),
}
"""The fields that all formats share."""
