"""Selects the device that a process trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from netc.diagnostics import NetcError
from netc.training.distributed.process_rank import SINGLE_RANK, ProcessRank
from netc.training.log.events import Listener, LogNote, WarningIssued

if TYPE_CHECKING:
    from netc.training.solver.settings import SolverSettings


def choose_device(
    settings: SolverSettings, gpu: str | None, listener: Listener, rank: ProcessRank = SINGLE_RANK
) -> torch.device:
    """Return the device selected by `gpu` (indices, or `all`), or by the solver's `solver_mode` and `device_id`.

    Each process of a machine uses a GPU of its own. A solver that requests a GPU runs on the CPU, with a warning, if
    there is none. Raises NetcError E606 for an explicit `gpu` that does not exist.
    """
    if gpu or settings.solver_mode != "GPU":
        return device_of(gpu, listener, rank)
    if torch.cuda.device_count() == 0:
        listener(WarningIssued("the solver requests a GPU, but none was found: training on the CPU"))
        return device_of(None, listener)
    return device_of(str(settings.device_id) if rank.world_size == 1 else "all", listener, rank)


def device_of(gpu: str | None, listener: Listener, rank: ProcessRank = SINGLE_RANK) -> torch.device:
    """Return the device of a process for `--gpu`: indices, `all`, or None for the CPU. Raises NetcError E606."""
    if not gpu:
        listener(LogNote("caffe.cpp:197", "Use CPU."))
        return torch.device("cpu")
    indices = gpus_of(gpu)
    if rank.world_size == 1 and len(indices) > 1:
        raise NetcError(
            f"`--gpu {gpu}` names {len(indices)} GPUs, but one process uses only one",
            code="E606",
            help=f"`netc train --gpu {gpu}`, or `torchrun --nproc-per-node {len(indices)}`, starts one process per GPU",
        )
    if rank.local_rank >= len(indices):
        raise NetcError(f"no GPU left for {rank}: this machine has {len(indices)} for all processes", code="E606")
    index = indices[rank.local_rank]
    listener(LogNote("caffe.cpp:204", f"Using GPUs {', '.join(map(str, indices))}"))
    for each in indices:
        listener(LogNote("caffe.cpp:209", f"GPU {each}: {torch.cuda.get_device_name(each)}"))
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def describe_gpus(gpu: str, listener: Listener) -> None:
    """Log the properties of GPUs: indices or `all` (`common.cpp`, DeviceQuery). Raises NetcError E606."""
    listener(LogNote("caffe.cpp:143", f"Querying GPUs {gpu}"))
    for index in gpus_of(gpu):
        found = torch.cuda.get_device_properties(index)
        rows = {
            "Device id": index,
            "Major revision number": found.major,
            "Minor revision number": found.minor,
            "Name": found.name,
            "Total global memory": found.total_memory,
            "Warp size": found.warp_size,
            "Number of multiprocessors": found.multi_processor_count,
        }
        for name, value in rows.items():
            listener(LogNote("common.cpp:178", f"{name + ':':<31}{value}"))


def gpus_of(gpu: str) -> list[int]:
    """Return the indices that `--gpu` names. Raises NetcError E606 for GPUs that do not exist.

    GPUs hidden by CUDA_VISIBLE_DEVICES do not count.
    """
    count = torch.cuda.device_count()
    if count == 0:
        raise NetcError(
            f"`--gpu {gpu}`: PyTorch found no GPU on this machine",
            code="E606",
            help="omit `--gpu` to train on the CPU",
        )
    if gpu == "all":
        return list(range(count))
    names = [name.strip() for name in gpu.split(",")]
    if not all(name.isdecimal() for name in names) or len({int(name) for name in names}) != len(names):
        raise NetcError(f"`--gpu {gpu}`: expected distinct GPU indices or `all`; found {count} GPUs", code="E606")
    indices = [int(name) for name in names]
    if max(indices) >= count:
        raise NetcError(f"unknown GPU {max(indices)}: found {count}", code="E606")
    return indices
