"""Intervals of frames that were detected: what two share, and precision, recall and F1 of many."""

from collections.abc import Sequence

# First and last frame; both belong to it.
Interval = tuple[int, int]


def overlap(first: Interval, second: Interval) -> float:
    """Return the frames that two intervals share over those in either (IoU).

    >>> overlap((0, 3), (2, 5)), overlap((0, 1), (4, 5))
    (0.3333333333333333, 0.0)
    """
    shared = max(min(first[1], second[1]) - max(first[0], second[0]) + 1, 0)
    return shared / (first[1] - first[0] + second[1] - second[0] + 2 - shared)


def rates(counts: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Return precision, recall and F1 of true positives, false positives and false negatives; None where undefined.

    >>> rates([3, 1, 1]), rates([0, 0, 4])
    ((0.75, 0.75, 0.75), (None, 0.0, 0.0))
    """
    tp, fp, fn = counts

    def share(of: float) -> float | None:
        return float(tp / of) if of > 0 else None

    return share(tp + fp), share(tp + fn), share(tp + (fp + fn) / 2)
