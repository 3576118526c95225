"""Dispatch work to processes on this machine or to a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from megbench.core.errors import BenchError
from megbench.core.progress import track
from megbench.core.worker import Lane, Outcome, work

LOCAL, DASK = "local", "dask://"
# How many seconds one cell may take, unless the user sets another limit.
CELL_LIMIT_S = 3600


def check_engine(engine: str) -> str:
    """Return the name of an engine unchanged. Raise BenchError if it is not a valid engine."""
    if engine != LOCAL and not (engine.startswith(DASK) and ":" in engine.removeprefix(DASK)):
        raise BenchError(f"--engine {engine!r} must be {LOCAL} or {DASK}HOST:PORT, the address of a Dask scheduler.")
    return engine


def perform(
    lanes: Sequence[Lane],
    engine: str,
    workers: int,
    title: str,
    limit_s: float = CELL_LIMIT_S,
    unit: str = "cell",
) -> Iterator[Outcome]:
    """Process every item of the lanes, in up to `workers` processes or on the cluster that `engine` names.

    title, unit: the labels of the progress bar. limit_s: the time limit for one item in seconds; an item that exceeds
    it fails without affecting the others.
    """
    items = sum(len(batch) for lane in lanes for batch in lane.batches)
    yield from track(_outcomes(lanes, engine, workers, limit_s), title, unit, items)


def _outcomes(lanes: Sequence[Lane], engine: str, workers: int, limit_s: float) -> Iterator[Outcome]:
    if engine == LOCAL:
        return work(lanes, workers, limit_s)
    from megbench.engine.cluster import spread

    return spread(lanes, engine.removeprefix(DASK), limit_s)
