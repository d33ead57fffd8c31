"""PREFIX_iter_N.netc.json: what a snapshot needs in addition to Caffe's files to resume a run exactly.

    iteration, model       the snapshot that it belongs to; `model` is the CRC-32 of its weights
    loss                   the window of the averaged loss
    random                 states of torch's generators, by rank and device
    train, test            states of the data layers, by node key; one object per test net
    world_size             number of processes
    schedule               state of the learning rate policy
    watch, ema, loss_scale the best test so far, updates of the averaged weights, the loss scale; null where not used

Caffe ignores it. Without it a run resumes at record iterations x iter_size x batch_size.
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
from netc.weights import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netc.runtime.net_weights import Array

FORMAT = 2


def sidecar_path(state: str | Path) -> Path:
    """Return the path of a solver state's sidecar.

    >>> sidecar_path("lenet_iter_10.solverstate.h5").name
    'lenet_iter_10.netc.json'
    """
    text = str(state)
    for ending in (".solverstate.h5", ".solverstate"):
        if text.endswith(ending):
            return Path(text[: -len(ending)] + ".netc.json")
    return Path(f"{text}.netc.json")


def write_sidecar(path: Path, content: dict[str, Any]) -> None:
    """Write the sidecar atomically. Raises NetcError E408."""
    with atomic_write(path) as file:
        file.write(json.dumps({"format": FORMAT, **content}, indent=1).encode())


def read_sidecar(path: Path, iteration: int, model: int) -> tuple[dict[str, Any] | None, str | None]:
    """Return the content, or None and the reason if the file exists but cannot be used."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError) as error:
        return None, f"`{path}` cannot be read: {error}"
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return None, f"`{path}` has another format version"
    if (content.get("iteration"), content.get("model")) != (iteration, model):
        return None, f"`{path}` belongs to another snapshot"
    return content, None


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
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise NetcError(
            "the snapshot's random state was saved by another PyTorch version", code="E703", notes=[str(error)]
        ) from error
