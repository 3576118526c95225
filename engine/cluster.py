"""Work on other machines: batches are sent to the workers of a Dask cluster, which share the store's folder.

Workers need this repository on their Python path, and each runs one thread: `PYTHONPATH=CHECKOUT dask worker ADDRESS
--nthreads 1`. How they are started (SLURM, Kubernetes, SSH) is up to Dask.

A worker's thread cannot be ended. An item that takes too long is therefore abandoned, and Dask's nanny restarts the
worker. Without a nanny (`--no-nanny`), the abandoned item keeps running beside the worker's next items, and an item
that never lets other threads run is not noticed at all.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from megbench.core.errors import BenchError, clause
from megbench.core.files.working_folder import worker_environment
from megbench.core.worker import THREADS, Lane, Outcome, answer, set_up, timed_out

CONNECT_S = 20
# How often a batch may be started. A batch is lost if its worker is restarted because of another batch.
MOST_TIMES = 10
# The last lane that was set up in this process, keyed by its pickle. The lane's next batch reuses what has been loaded.
_ready: dict[bytes, Callable[[Any], Any]] = {}


def spread(lanes: Sequence[Lane], address: str, limit_s: float) -> Iterator[Outcome]:
    """Process every item of every lane on the cluster at `address`; yield outcomes batch by batch as they finish.

    If a worker is lost, its batch is repeated elsewhere; items that were finished are then found in the store. An item
    that takes longer than limit_s seconds fails, and the rest of its batch is processed elsewhere. Raise BenchError if
    Dask is not installed or no scheduler answers.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise BenchError("--engine dask://... needs Dask. Run: pip install 'dask[distributed]'") from None
    try:
        client = Client(f"tcp://{address}", timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BenchError(
            f"No Dask scheduler answers at {address} ({clause(error)}). Start one with `dask scheduler`."
        ) from None
    with client:
        environment = worker_environment()
        done, begun = as_completed([], loop=client.loop), {}

        def begin(lane: Lane, batch: Sequence[Any], times: int = 1) -> None:
            future = client.submit(_do_batch, pickle.dumps(lane.set_up), batch, environment, limit_s, pure=False)
            begun[future] = lane, batch, times
            done.add(future)

        for lane in lanes:
            for batch in lane.batches:
                begin(lane, batch)
        for future in done:
            lane, batch, times = begun.pop(future)
            if future.status in ("lost", "cancelled") and times < MOST_TIMES:
                begin(lane, batch, times + 1)
            elif future.status == "finished":
                outcomes, hung = future.result()
                if hung:
                    _restart(client, hung)
                if left := batch[len(outcomes) :]:
                    begin(lane, left)
                yield from outcomes
            else:
                reason = clause(future.exception() or "")
                yield from (Outcome(item, None, f"the cluster abandoned the batch: {reason}", True) for item in batch)


def _restart(client: Any, worker: str) -> None:
    """Ask the nanny of a worker, if there is one, to restart the worker."""
    with contextlib.suppress(ValueError, TimeoutError):
        client.restart_workers([worker], timeout=CONNECT_S, raise_for_error=False)


def _do_batch(
    pickled: bytes, batch: Sequence[Any], environment: Mapping[str, str], limit_s: float
) -> tuple[list[Outcome], str]:
    """Process a batch in a worker; return the outcomes, and "".

    If an item takes longer than limit_s seconds, return the outcomes up to and including that item, and the address of
    this worker. The results are those of a local run, because libraries use one thread and the folders are the same.
    environment: as returned by megbench.core.files.working_folder.worker_environment.
    """
    os.environ.update(environment)
    if pickled not in _ready:
        os.environ.update(dict.fromkeys(THREADS, "1"))
        _ready.clear()
        handle = set_up(pickle.loads(pickled))
        if isinstance(handle, Outcome):
            return [Outcome(item, None, handle.reason, True, handle.traceback) for item in batch], ""
        _ready[pickled] = handle
    outcomes: list[Outcome] = []
    for item in batch:
        outcomes.append(_answer_in_time(_ready[pickled], item, limit_s))
        if outcomes[-1].reason == timed_out(limit_s):
            from distributed import get_worker

            _ready.clear()  # the abandoned item may still use the handle
            return outcomes, str(get_worker().address)
    return outcomes, ""


def _answer_in_time(handle: Callable[[Any], Any], item: Any, limit_s: float) -> Outcome:
    """Return the outcome of one item. An item that takes longer than limit_s seconds is abandoned."""
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(answer(handle, item)), daemon=True)
    thread.start()
    thread.join(limit_s)
    if found:
        return found[0]
    return Outcome(item, None, timed_out(limit_s) if thread.is_alive() else "the item terminated its thread", True)
