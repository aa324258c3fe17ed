"""Data sets as columns of equal length, of which some rows can be taken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch


@dataclass
class Columns:
    """Base of the data sets; `columns` names the attributes that hold one entry for each row."""

    columns: ClassVar[tuple[str, ...]] = ()

    def __len__(self) -> int:
        return len(getattr(self, self.columns[0]))

    def take(self, indices: Sequence[int] | torch.Tensor) -> Self:
        """Return the rows at ``indices``, in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        taken: dict[str, Any] = {}
        for name in self.columns:
            column = getattr(self, name)
            taken[name] = column[chosen] if isinstance(column, torch.Tensor) else [column[i] for i in chosen.tolist()]
        return replace(self, **taken)

    def first(self, n: int) -> Self:
        """Return the first ``n`` rows (all of them, if there are fewer)."""
        return self.take(range(min(n, len(self))))
