"""Process clips in several processes, with a progress bar."""

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
# The number of tasks that this process finishes in the time that new processes take to start.
FEW = 4


def in_parallel(
    work: Callable[[Task], Result], tasks: Sequence[Task], title: str, progress: bool = True, workers: int = 0
) -> list[Result]:
    """Return `[work(task) for task in tasks]`, computed in new processes, or in this one if there are few tasks.

    work: an importable function. workers: the number of processes; 0 means one per processor that this process may use.
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
    """Leave Ctrl-C to the parent process, so that running tasks finish, and limit OpenCV to one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _collected(results: Iterator[Result], title: str, total: int, progress: bool) -> list[Result]:
    return list(track(results, title, "", total) if progress else results)
