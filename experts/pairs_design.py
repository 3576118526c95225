"""Choose the pairs of outputs that each rater compares, balanced over methods, drivers and raters."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# The share of a rater's pairs that are shown a second time, with the sides exchanged, and the minimum number of them.
REPEATED = 0.1
FEWEST_REPEATS = 3


class Pair(NamedTuple):
    """Two methods' outputs in one cell; the first is shown on the left."""

    cell: str
    left: str
    right: str

    @property
    def methods(self) -> tuple[str, str]:
        """The two methods in alphabetical order, regardless of the sides on which they are shown."""
        return (self.left, self.right) if self.left < self.right else (self.right, self.left)

    @property
    def exchanged(self) -> Pair:
        """The same pair with the sides exchanged."""
        return Pair(self.cell, self.right, self.left)

    @property
    def in_alphabet(self) -> Pair:
        """The same pair with the methods in alphabetical order."""
        return Pair(self.cell, *self.methods)


@dataclass
class Asked:
    """How often each pair of outputs and each pair of methods has been asked about so far, over all raters."""

    pairs: Counter[Pair] = field(default_factory=Counter)
    methods: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, pair: Pair) -> None:
        """Count one pair."""
        self.pairs[pair.in_alphabet] += 1
        self.methods[pair.methods] += 1


def all_pairs(outputs: Iterable[tuple[str, str]]) -> list[Pair]:
    """Return every pair of outputs (method, cell) that share a cell, with the sides in alphabetical order."""
    by_cell: dict[str, list[str]] = {}
    for method, cell in outputs:
        by_cell.setdefault(cell, []).append(method)
    return [Pair(cell, *two) for cell, methods in by_cell.items() for two in itertools.combinations(sorted(methods), 2)]


def repeats(each: int) -> int:
    """Return the number of a rater's pairs that are shown twice."""
    return min(each, max(FEWEST_REPEATS, math.ceil(REPEATED * each)))


def chosen(
    pairs: Sequence[Pair], driver_of: Mapping[str, str], each: int, rng: random.Random, asked: Asked
) -> list[Pair]:
    """Return `each` pairs for one more rater and count them in `asked`.

    The pair asked about least often comes first. Ties are broken by how often its two methods were compared over all
    raters, then by how often this rater was asked about the two methods, the driver and the cell. Over all raters, the
    counts of any two pairs of outputs therefore differ by at most one. If every method has an output in every cell, so
    do the counts of any two pairs of methods.
    """
    mine: Counter[object] = Counter()
    left = [pair.in_alphabet for pair in pairs]
    rng.shuffle(left)
    taken = []
    for _ in range(min(each, len(left))):
        pair = min(
            left,
            key=lambda pair: (
                asked.pairs[pair],
                asked.methods[pair.methods],
                mine[pair.methods],
                mine["driver", driver_of[pair.cell]],
                mine["cell", pair.cell],
            ),
        )
        left.remove(pair)
        taken.append(pair)
        asked.add(pair)
        mine.update([pair.methods, ("driver", driver_of[pair.cell]), ("cell", pair.cell)])
    return taken


def in_order(pairs: Sequence[Pair], rng: random.Random) -> list[Pair]:
    """Return a rater's questions: pairs in random order, with the sides of each pair of methods balanced.

    Pairs from the first third are repeated among the last third, with the sides exchanged, so that a rater who always
    answers "left" is found to be inconsistent.
    """
    shuffled = list(pairs)
    rng.shuffle(shuffled)
    turned: dict[tuple[str, str], bool] = {}
    questions = []
    for pair in shuffled:
        turned[pair.methods] = not turned.get(pair.methods, rng.random() < 0.5)
        questions.append(pair.exchanged if turned[pair.methods] else pair)
    third = math.ceil(len(questions) / 3)
    again = [pair.exchanged for pair in rng.sample(questions[:third], min(third, repeats(len(questions))))]
    last = questions[-third:] + again
    rng.shuffle(last)
    return questions[:-third] + last
