"""What the processes of a torch.distributed group tell each other; a process alone hears itself."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["from_first_process", "least_of_processes", "process_of", "sum_over_processes"]


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

    tensor = _on_device(torch.from_numpy(np.array(array, dtype=np.float64)))
    torch.distributed.all_reduce(tensor)
    total: npt.NDArray[np.float64] = tensor.cpu().numpy()
    return total


def least_of_processes(value: int) -> int:
    """Return the least of a number that every process has."""
    if process_of()[1] == 1:
        return value
    import torch

    tensor = _on_device(torch.tensor([value], dtype=torch.int64))
    torch.distributed.all_reduce(tensor, op=torch.distributed.ReduceOp.MIN)
    return int(tensor.item())


def from_first_process(text: str) -> str:
    """Return the text that the first process has given."""
    rank, processes = process_of()
    if processes == 1:
        return text
    import torch

    content = np.frombuffer(text.encode() if rank == 0 else b"", dtype=np.uint8)
    size = _on_device(torch.tensor([content.size], dtype=torch.int64))
    torch.distributed.broadcast(size, 0)
    own = torch.from_numpy(content.copy()) if rank == 0 else torch.empty(int(size.item()), dtype=torch.uint8)
    tensor = _on_device(own)
    torch.distributed.broadcast(tensor, 0)
    return bytes(tensor.cpu().numpy()).decode()


def _on_device(tensor: Any) -> Any:
    """Return a tensor where the group's backend wants it."""
    import torch

    return tensor.cuda() if torch.distributed.get_backend() == "nccl" else tensor
