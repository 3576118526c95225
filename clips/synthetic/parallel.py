"""Work on clips, on several processes with a progress bar."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import cv2

from megbench.core.processors import usable
from megbench.core.progress import track

Task = TypeVar("Task")
Result = TypeVar("Result")
# So few tasks are done sooner than processes start.
FEW = 4


def in_parallel(
    work: Callable[[Task], Result], tasks: Sequence[Task], title: str, progress: bool = True, workers: int = 0
) -> list[Result]:
    """`[work(task) for task in tasks]`, in that order, on fresh processes; few are done here. `work` is importable.

    workers: how many processes; 0: one for each processor that this one may use.
    """
    if len(tasks) <= FEW:
        return [work(task) for task in tasks]
    workers = workers or usable()
    if workers == 1:
        return _collected(map(work, tasks), title, len(tasks), progress)
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_set_up) as pool:
        return _collected(pool.map(work, tasks), title, len(tasks), progress)


def _set_up() -> None:
    """Leave Ctrl-C to the first process, so that tasks under way are finished; a thread each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _collected(results: Iterator[Result], title: str, total: int, progress: bool) -> list[Result]:
    return list(track(results, title, "", total) if progress else results)
