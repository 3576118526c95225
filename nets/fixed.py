"""Layers that compute with something made of their weights, and may keep it once the weights stay."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Fixable:
    """A layer whose weights can be declared final; what is made of them is then made once and takes no gradient."""

    fixed = False
    _kept: Tensor | None = None

    def fix(self) -> None:
        """The weights will not change any more."""
        self.fixed, self._kept = True, None

    def kept(self, make: Callable[[], Tensor]) -> Tensor:
        """What `make` makes of the weights."""
        if self._kept is not None:
            return self._kept
        if not self.fixed:
            return make()
        with torch.inference_mode(False), torch.no_grad():  # so that it may meet an input's gradient later
            self._kept = make()
        return self._kept
