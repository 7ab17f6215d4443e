"""What a part of the training asks the other processes with; ``Accelerator.gather`` is one."""

from collections.abc import Callable

from torch import Tensor

Gather = Callable[[Tensor], Tensor]  # tensors of one shape in each process, put together along the first axis
