"""The same work on other machines: batches go to the workers of a Dask cluster, which share the store's folder.

Workers need this repository on their Python path and one thread each:
`PYTHONPATH=CHECKOUT dask worker ADDRESS --nthreads 1`. What starts them (SLURM, Kubernetes, SSH) is Dask's business.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from core.errors import BenchError, clause
from core.worker import THREADS, Lane, Outcome, answer, set_up
from core.working_folder import worker_environment

CONNECT_S = 20
# The last lane a worker process was set up for, by its pickle: what its method has loaded is of use to the next batch.
_ready: dict[bytes, Callable[[Any], Any]] = {}


def spread(lanes: Sequence[Lane], address: str) -> Iterator[Outcome]:
    """Do every item of every lane on the cluster at `address`; outcomes come batch by batch as they are done.

    A worker that is lost has its batch done again elsewhere, where finished items are found in the store. BenchError
    where Dask is not installed or nobody answers.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise BenchError("--engine dask://... needs Dask: pip install 'dask[distributed]'.") from None
    try:
        client = Client(f"tcp://{address}", timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BenchError(f"No Dask scheduler answers at {address} ({clause(error)}).") from None
    with client:
        futures = {
            client.submit(_do_batch, pickle.dumps(lane.set_up), batch, worker_environment(), pure=False): batch
            for lane in lanes
            for batch in lane.batches
        }
        for future in as_completed(list(futures), loop=client.loop):
            batch = futures.pop(future)
            if future.status == "finished":
                yield from future.result()
            else:
                reason = clause(future.exception() or "")
                yield from (Outcome(item, None, f"the cluster gave up: {reason}", True) for item in batch)


def _do_batch(pickled: bytes, batch: Sequence[Any], environment: Mapping[str, str]) -> list[Outcome]:
    """Do a batch in a worker. Results equal those of a local run: libraries use one thread, and folders are the same.

    environment: variables as core.working_folder.worker_environment returns them.
    """
    os.environ.update(environment)
    if pickled not in _ready:
        os.environ.update(dict.fromkeys(THREADS, "1"))
        _ready.clear()
        handle = set_up(pickle.loads(pickled))
        if isinstance(handle, Outcome):
            return [Outcome(item, None, handle.reason, True, handle.traceback) for item in batch]
        _ready[pickled] = handle
    return [answer(_ready[pickled], item) for item in batch]
