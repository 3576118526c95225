"""The overlap of two intervals in which something was detected, and precision, recall and F1 from counts."""

from collections.abc import Sequence

# The first and last frame, both inclusive.
Interval = tuple[int, int]


def overlap(first: Interval, second: Interval) -> float:
    """Return the number of frames in both intervals divided by the number of frames in at least one of them (IoU).

    >>> overlap((0, 3), (2, 5)), overlap((0, 1), (4, 5))
    (0.3333333333333333, 0.0)
    """
    shared = max(min(first[1], second[1]) - max(first[0], second[0]) + 1, 0)
    return shared / (first[1] - first[0] + second[1] - second[0] + 2 - shared)


def rates(counts: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Return precision, recall and F1 from counts of true positives, false positives and false negatives.

    A rate that is undefined is None.

    >>> rates([3, 1, 1]), rates([0, 0, 4])
    ((0.75, 0.75, 0.75), (None, 0.0, 0.0))
    """
    tp, fp, fn = counts

    def share(of: float) -> float | None:
        return float(tp / of) if of > 0 else None

    return share(tp + fp), share(tp + fn), share(tp + (fp + fn) / 2)
