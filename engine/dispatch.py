"""Where work is done: in processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from megbench.core.claims import Busy
from megbench.core.errors import BenchError
from megbench.core.progress import track
from megbench.core.worker import Lane, Outcome, work

LOCAL, DASK = "local", "dask://"
# How long one cell may take, unless the user says otherwise.
CELL_LIMIT_S = 3600


def check_engine(engine: str) -> str:
    """The name of an engine as it was given. BenchError for what is none."""
    if engine != LOCAL and not (engine.startswith(DASK) and ":" in engine.removeprefix(DASK)):
        raise BenchError(f"--engine {engine!r} must be {LOCAL} or {DASK}HOST:PORT, the address of a Dask scheduler.")
    return engine


def perform(
    items: Iterable[Any],
    lanes: Callable[[Sequence[Any], bool], list[Lane]],
    engine: str,
    workers: int,
    title: str,
    limit_s: float = CELL_LIMIT_S,
) -> Iterator[Outcome]:
    """Do every item, in up to `workers` processes or on the cluster that `engine` names, under a progress bar.

    limit_s: how long one item may take; then it fails, and the others go on.
    lanes: the lanes of some items, and whether their workers wait for an item that another process is at. They do not
    at first, and answer Busy; such items are left for the end.
    """
    left = list(items)
    for wait in (False, True):
        outcomes = _outcomes(lanes(left, wait), engine, workers, limit_s)
        left, count = [], len(left)
        for outcome in track(outcomes, "Waiting for others" if wait else title, "cell", count):
            if isinstance(outcome.result, Busy):
                left.append(outcome.item)
            else:
                yield outcome


def _outcomes(lanes: Sequence[Lane], engine: str, workers: int, limit_s: float) -> Iterator[Outcome]:
    if engine == LOCAL:
        return work(lanes, workers, limit_s)
    from megbench.engine.cluster import spread

    return spread(lanes, engine.removeprefix(DASK), limit_s)
