"""Precision, recall and F1 from counts."""

from collections.abc import Sequence


def rates(counts: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """Return precision, recall and F1 of true positives, false positives and false negatives; None where undefined.

    >>> rates([3, 1, 1]), rates([0, 0, 4])
    ((0.75, 0.75, 0.75), (None, 0.0, 0.0))
    """
    tp, fp, fn = counts

    def share(of: float) -> float | None:
        return float(tp / of) if of > 0 else None

    return share(tp + fp), share(tp + fn), share(tp + (fp + fn) / 2)
