"""Work in separate processes: a crash, a segmentation fault or the kernel's out-of-memory killer costs only one item.

Lanes are kinds of work (a method, the scoring). A worker process serves one lane: it sets itself up once and then
processes one item after another. A worker that dies, or that is terminated because it takes too long, is replaced.
Every worker has a single thread, so that results do not depend on the number of workers.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from megbench.core.errors import BenchError, CellFailed, clause

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
# Let a process keep memory that it frees, up to 32 MB per block and 1 GB in total (glibc reads these variables; other
# libraries ignore them). Frames and feature maps are allocated and freed constantly. Without these settings, returning
# their pages to the kernel and having them zeroed again took a tenth of the networks' processor time.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
# An idle worker that does not exit within this time (because of a library's threads) is killed.
PATIENCE_S = 5.0
# Setting up a worker may take this long, even if the limit for an item is shorter: it imports libraries and reads
# weights.
SET_UP_S = 600.0


@dataclass(frozen=True)
class Lane:
    """One kind of work.

    set_up: a function that runs once in each worker and returns the function that processes one item; it must be
    picklable. batches: the items. Those of one batch go to the same worker, in order, so that the worker can keep data
    that they share.
    """

    name: str
    set_up: Callable[[], Callable[[Any], Any]]
    batches: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one item: its `result`, or the `reason` for its failure.

    retry: whether another attempt may succeed. traceback: that of an unexpected error.
    """

    item: Any
    result: Any = None
    reason: str = ""
    retry: bool = False
    traceback: str = ""


@dataclass
class _Queue:
    """The remaining work of a lane. broken: the reason why no further worker can be set up for it, or None."""

    lane: Lane
    batches: deque[deque[Any]]
    workers: int = 0
    broken: Outcome | None = None


@dataclass
class _Worker:
    queue: _Queue
    process: BaseProcess
    connection: Connection
    batch: deque[Any] = field(default_factory=deque)
    item: Any = None
    ready: bool = False
    limit_s: float = math.inf  # for its current task
    due: float = math.inf  # on the clock of time.monotonic


def work(lanes: Sequence[Lane], workers: int, limit_s: float = math.inf) -> Iterator[Outcome]:
    """Process every item of every lane in up to `workers` processes; yield outcomes as items are finished.

    limit_s: how many seconds an item may take; if it takes longer, its worker is terminated and only that item fails.
    If the caller stops iterating early (Ctrl-C), the workers are terminated.
    """
    queues = [_Queue(lane, deque(deque(batch) for batch in lane.batches if batch)) for lane in lanes]
    active: dict[Connection, _Worker] = {}
    try:
        while True:
            while len(active) < workers and (queue := _neediest(queues)):
                worker = _start(queue, max(limit_s, SET_UP_S))
                active[worker.connection] = worker
            for queue in queues:
                yield from _give_up(queue)
            if not active:
                return
            ready, late = _next_to_see(active)
            for connection in (*ready, *late):
                worker = active[connection]
                if connection in late:
                    _end(worker)
                outcome, alive = _listen(worker, connection in late)
                if alive:
                    alive = connection not in late and _hand_out(worker, limit_s)
                if not alive:
                    del active[worker.connection]
                    _stop(worker)
                if outcome:
                    yield outcome
    finally:
        for worker in active.values():
            worker.process.terminate()
        for worker in active.values():
            _stop(worker)


def _neediest(queues: Sequence[_Queue]) -> _Queue | None:
    """Return the queue with the fewest workers and, of several such, the most work; None if no queue needs a worker."""
    open_queues = [queue for queue in queues if queue.batches and not queue.broken]
    return min(open_queues, key=lambda queue: (queue.workers, -len(queue.batches)), default=None)


def _give_up(queue: _Queue) -> Iterator[Outcome]:
    """Fail the remaining items of a lane that cannot be set up."""
    while queue.broken and not queue.workers and queue.batches:
        for item in queue.batches.popleft():
            yield Outcome(item, None, queue.broken.reason, True, queue.broken.traceback)


def _next_to_see(active: Mapping[Connection, _Worker]) -> tuple[list[Connection], list[Connection]]:
    """Wait until some worker has sent a message or exceeded its limit.

    Return the connections of the workers with messages, and those of the others that exceeded their limits.
    """
    soonest = min(worker.due for worker in active.values())
    left = None if soonest == math.inf else max(0.0, soonest - time.monotonic())
    ready = set(wait(list(active), left))
    now = time.monotonic()
    late = [connection for connection, worker in active.items() if worker.due <= now and connection not in ready]
    return [connection for connection in active if connection in ready], late


def _start(queue: _Queue, limit_s: float) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, queue.lane.set_up), name=queue.lane.name, daemon=True)
    with _worker_environment():
        process.start()
    theirs.close()
    queue.workers += 1
    return _Worker(queue, process, ours, limit_s=limit_s, due=time.monotonic() + limit_s)


@contextlib.contextmanager
def _worker_environment() -> Iterator[None]:
    """Set what a worker inherits: a single thread, an allocator that keeps freed memory, and SIGINT ignored.

    The parent handles Ctrl-C.
    """
    inherited = {**dict.fromkeys(THREADS, "1"), **MEMORY}
    before = {name: os.environ.get(name) for name in inherited}
    in_charge = threading.current_thread() is threading.main_thread()  # only this thread receives Ctrl-C
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_charge else None
    os.environ.update(inherited)
    try:
        yield
    finally:
        if in_charge:
            signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _listen(worker: _Worker, late: bool) -> tuple[Outcome | None, bool]:
    """Read one message; return the outcome of the current item, if there is one, and whether the worker is usable.

    late: whether the worker was terminated because it took too long; it may have sent an outcome just before that.
    """
    try:
        outcome: Outcome | None = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        cause = timed_out(worker.limit_s) if late else _cause_of_death(worker.process.exitcode)
        outcome = Outcome(None, None, cause, True)
        if worker.ready:
            return Outcome(worker.item, None, outcome.reason, True), False
    if not worker.ready:
        worker.ready = outcome is None
        worker.queue.broken = outcome
        return None, worker.ready
    assert outcome is not None
    return replace(outcome, item=worker.item), True


def timed_out(limit_s: float) -> str:
    """Return the reason of failure for work that took longer than `limit_s`, with the option that sets the limit."""
    return f"timed out after {limit_s:g} s (--cell-timeout)"


def _cause_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        memory = ", perhaps because memory ran out" if name == "SIGKILL" else ""
        return f"the worker process was killed by {name}{memory}"
    return f"the worker process ended with exit code {code}"


def _hand_out(worker: _Worker, limit_s: float) -> bool:
    """Send the worker its next item; return False if none is left."""
    if not worker.batch and worker.queue.batches:
        worker.batch = worker.queue.batches.popleft()
    if not worker.batch:
        return False
    worker.item = worker.batch.popleft()
    worker.limit_s, worker.due = limit_s, time.monotonic() + limit_s
    # If the worker has died in the meantime, reading its outcome will reveal it.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        worker.connection.send(worker.item)
    return True


def _end(worker: _Worker) -> None:
    """Terminate a worker and whatever it has started; kill it if it does not react."""
    worker.process.terminate()
    worker.process.join(PATIENCE_S)
    worker.process.kill()


def _stop(worker: _Worker) -> None:
    """Stop a worker and return the rest of its batch to the queue for another worker."""
    worker.connection.close()
    worker.process.join(PATIENCE_S)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    if worker.batch:
        worker.queue.batches.appendleft(worker.batch)
    worker.queue.workers -= 1


def _serve(connection: Connection, make: Callable[[], Callable[[Any], Any]]) -> None:
    """Serve as a worker: set up, send None, then send each item's outcome until the parent closes the connection.

    A worker that is terminated cleans up first, because an external program that it runs must not outlive it.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    handle = set_up(make)
    if isinstance(handle, Outcome):
        connection.send(handle)
        return
    connection.send(None)
    with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
        while True:
            connection.send(answer(handle, connection.recv()))


def set_up(make: Callable[[], Callable[[Any], Any]]) -> Callable[[Any], Any] | Outcome:
    """Return the function that processes the items of a lane, or the outcome that states why there is none."""
    try:
        return make()
    except Exception as error:
        return _failure(error)


def answer(handle: Callable[[Any], Any], item: Any) -> Outcome:
    """Return the outcome of one item."""
    try:
        return Outcome(item, handle(item))
    except Exception as error:
        return replace(_failure(error), item=item)


def _failure(error: Exception) -> Outcome:
    if isinstance(error, BenchError):
        return Outcome(None, None, str(error), retry=not isinstance(error, CellFailed))
    line = str(error).strip().partition("\n")[0]  # the traceback contains the rest
    reason = f"{type(error).__name__}: {clause(line)}"
    return Outcome(None, None, reason, True, traceback.format_exc())
