"""Where work is done: in processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.errors import BenchError
from core.worker import Lane, Outcome, work

LOCAL, DASK = "local", "dask://"


def check_engine(engine: str) -> str:
    """The name of an engine as it was given. BenchError for what is none."""
    if engine != LOCAL and not (engine.startswith(DASK) and ":" in engine.removeprefix(DASK)):
        raise BenchError(f"--engine {engine!r} must be {LOCAL} or {DASK}HOST:PORT, the address of a Dask scheduler.")
    return engine


def perform(lanes: Sequence[Lane], engine: str, workers: int) -> Iterator[Outcome]:
    """Do every item of every lane: in up to `workers` processes, or on the cluster that `engine` names."""
    if engine == LOCAL:
        return work(lanes, workers)
    from core.cluster import spread

    return spread(lanes, engine.removeprefix(DASK))
