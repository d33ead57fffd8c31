"""Which device a process trains on."""

from __future__ import annotations

import torch

from netc.diagnostics import NetcError
from netc.training.distributed.process_rank import SINGLE_RANK, ProcessRank
from netc.training.log.events import Listener, LogNote, WarningIssued
from netc.training.solver.settings import SolverSettings


def choose_device(
    settings: SolverSettings, gpu: str | None, listener: Listener, rank: ProcessRank = SINGLE_RANK
) -> torch.device:
    """The device that `--gpu` (indices, or `all`) or the solver's `solver_mode` and `device_id` ask for.

    Of several processes of a machine each gets a GPU of its own. A solver that asks for a GPU runs on the CPU, with a
    warning, where there is none; an explicit `gpu` that is not there is an error: NetcError E606.
    """
    if gpu or settings.solver_mode != "GPU":
        return device_of(gpu, listener, rank)
    if torch.cuda.device_count() == 0:
        listener(WarningIssued("the solver asks for a GPU, and there is none: training on the CPU"))
        return device_of(None, listener)
    return device_of(str(settings.device_id) if rank.world_size == 1 else "all", listener, rank)


def device_of(gpu: str | None, listener: Listener, rank: ProcessRank = SINGLE_RANK) -> torch.device:
    """The device that `--gpu` names for a process: an index, `all`, or nothing for the CPU. Raises NetcError E606."""
    if not gpu:
        listener(LogNote("caffe.cpp:197", "Use CPU."))
        return torch.device("cpu")
    indices = gpus_of(gpu)
    if rank.world_size == 1 and len(indices) > 1:
        raise NetcError(
            f"`--gpu {gpu}` names {len(indices)} GPUs, and one process uses one",
            code="E606",
            help=f"`netc train --gpu {gpu}`, or `torchrun --nproc-per-node {len(indices)}`, starts a process for each",
        )
    if rank.local_rank >= len(indices):
        raise NetcError(f"there is no GPU for {rank}: {len(indices)} for all of this machine", code="E606")
    index = indices[rank.local_rank]
    listener(LogNote("caffe.cpp:204", f"Using GPUs {', '.join(map(str, indices))}"))
    for each in indices:
        listener(LogNote("caffe.cpp:209", f"GPU {each}: {torch.cuda.get_device_name(each)}"))
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def gpus_of(gpu: str) -> list[int]:
    """The indices that `--gpu` names. Raises NetcError E606 for those that are not there.

    All are found by torch, which counts only those that CUDA_VISIBLE_DEVICES lets it see.
    """
    count = torch.cuda.device_count()
    if count == 0:
        raise NetcError(
            f"`--gpu {gpu}`: PyTorch finds no GPU on this machine",
            code="E606",
            help="leave `--gpu` out to train on the CPU",
        )
    if gpu == "all":
        return list(range(count))
    names = [name.strip() for name in gpu.split(",")]
    if not all(name.isdecimal() for name in names) or len({int(name) for name in names}) != len(names):
        raise NetcError(f"`--gpu {gpu}`: give indices of GPUs, each once, or `all`; {count} found", code="E606")
    indices = [int(name) for name in names]
    if max(indices) >= count:
        raise NetcError(f"there is no GPU {max(indices)}: {count} found", code="E606")
    return indices
