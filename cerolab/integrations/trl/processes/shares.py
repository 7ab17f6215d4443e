"""Equal shares of a list for processes that work on it together.

An engine that all processes share (a vLLM server, tensor parallelism) takes each process's prompts to be as many as its
own and cuts the responses there: shares of unequal size would get each other's. A forward pass of a sharded model also
wants as many from each.
"""

from __future__ import annotations


def even_share(count: int, process: int, processes: int) -> tuple[list[int], int]:
    """Indices of a process, ceil(count / processes) in every one, and how many of them are its own.

    The rest, at the end, are padding: they repeat an index and their results are to be dropped.
    """
    own = list(range(process, count, processes))
    size = -(-count // processes)
    return own + [count - 1] * (size - len(own)), len(own)
