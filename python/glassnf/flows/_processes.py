"""Sums over the processes of a torch.distributed group; of one process, the sum is itself."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

__all__ = ["process_of", "sum_over_processes"]


def process_of() -> tuple[int, int]:
    """Return rank and number of processes; 0 and 1 unless the caller has set up torch.distributed."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 0, 1
    return int(torch.distributed.get_rank()), int(torch.distributed.get_world_size())


def sum_over_processes(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sum of an array over all processes; every process must call it with the same shape."""
    if process_of()[1] == 1:
        return array
    import torch

    tensor = torch.from_numpy(np.array(array, dtype=np.float64))
    if torch.distributed.get_backend() == "nccl":
        tensor = tensor.cuda()
    torch.distributed.all_reduce(tensor)
    total: npt.NDArray[np.float64] = tensor.cpu().numpy()
    return total
