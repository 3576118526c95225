"""Batches of a stage in order, drawn in advance by threads while the networks are trained.

torch's DataLoader would draw the same batches in processes, which has three drawbacks. Unless the processes are forked,
which is safe only on Linux, each gets a copy of the whole training set, because numpy pickles a mapped file with its
contents. An error reaches the user as a traceback. Finally, two processes were not faster than two threads, because
OpenCV and numpy let other threads run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from megbench.core.draws import generator

# The number of steps drawn in advance, and the number of threads that draw them.
AHEAD, THREADS = 2, 2

# The purposes for which a batch is drawn. Each has its own random generators.
TRAIN, VALIDATE, SETTLE = range(3)


class Batches(Protocol):
    """A source of batches of pairs."""

    def batch(self, split: str, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return a batch of the "train" or "validation" split; it depends only on `rng`, not on the calling thread."""


@dataclass(frozen=True)
class Part:
    """What a process trains on at a time: some samples of a batch, and the generator for the method's own draws."""

    batch: dict[str, Tensor]
    rng: np.random.Generator


class Loader:
    """A loader of batches of `size` samples, of which this process (`rank` of `world`) gets `parts` equal parts.

    Draws depend only on the seed, the stage, the purpose, the step and the sample, not on how a batch is divided, on
    the number of threads, or on what was drawn before. `size` is a multiple of parts times processes.
    """

    def __init__(
        self, batches: Batches, size: int, parts: int, key: tuple[int, ...], device: torch.device, rank: int, world: int
    ) -> None:
        self.batches, self.size, self.parts, self.key, self.device = batches, size, parts, key, device
        self.rank, self.world = rank, world

    def steps(self, steps: range) -> Iterator[tuple[int, list[Part]]]:
        """Yield each of `steps`, in order, with those parts of its training batch that belong to this process, on the
        process's device."""
        waiting: deque[tuple[int, Future[list[Part]]]] = deque()
        todo = iter(steps)
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                while True:
                    while len(waiting) <= AHEAD and (step := next(todo, None)) is not None:
                        waiting.append((step, pool.submit(self.draw, TRAIN, step)))
                    if not waiting:
                        return
                    step, drawn = waiting.popleft()
                    yield step, [self._moved(part) for part in drawn.result()]
            finally:
                for _, future in waiting:
                    future.cancel()

    def one(self, purpose: int, step: int) -> list[Part]:
        """Return this process's parts of one batch, on its device."""
        return [self._moved(part) for part in self.draw(purpose, step)]

    def draw(self, purpose: int, step: int) -> list[Part]:
        """Return this process's parts of one batch, in main memory."""
        count = self.size // (self.parts * self.world)
        firsts = [(part * self.world + self.rank) * count for part in range(self.parts)]
        return [
            Part(self._samples(purpose, step, first, count), self._rng(1, purpose, step, first)) for first in firsts
        ]

    def whole(self, purpose: int, step: int) -> dict[str, Tensor]:
        """Return one complete batch, as seen by all processes together."""
        return self._samples(purpose, step, 0, self.size)

    def _rng(self, use: int, purpose: int, step: int, first: int) -> np.random.Generator:
        return generator(first, *self.key, purpose, step, use)

    def _samples(self, purpose: int, step: int, first: int, count: int) -> dict[str, Tensor]:
        split = "validation" if purpose == VALIDATE else "train"
        drawn = [self.batches.batch(split, 1, self._rng(0, purpose, step, first + index)) for index in range(count)]
        batch: dict[str, Any] = {name: torch.cat([sample[name] for sample in drawn]) for name in drawn[0]}
        if self.device.type == "cuda":  # from pinned memory the copy is asynchronous
            batch = {name: value.pin_memory() for name, value in batch.items()}
        return batch

    def _moved(self, part: Part) -> Part:
        batch = {name: value.to(self.device, non_blocking=True) for name, value in part.batch.items()}
        return Part(batch, part.rng)
