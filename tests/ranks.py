"""Runs a function in several processes that form a gloo group."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _worker(rank, function, num_ranks, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=num_ranks)
    torch.save(function(rank, num_ranks), folder / f"{rank}.pt")
    dist.destroy_process_group()


def run_ranks(function, num_ranks, folder):
    """Returns function(rank, num_ranks) of each rank; the function is one of a module, its results are tensors."""
    mp.spawn(_worker, (function, num_ranks, folder), nprocs=num_ranks)
    return [torch.load(folder / f"{rank}.pt") for rank in range(num_ranks)]
