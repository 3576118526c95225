"""Workers: a crash costs one item, a faulty set-up costs its lane, and the order of results does not matter."""

import functools
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from megbench.core.errors import BenchError, CellFailed
from megbench.core.worker import Lane, work


def doubler(fatal=None, how="kill"):
    def double(item):
        if item == fatal:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            if how == "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(60)
            if how == "bench":
                raise BenchError("mend it")
            if how == "cell":
                raise CellFailed("no face")
            raise ValueError("wrong value")
        return 2 * item, os.getpid(), os.environ["OMP_NUM_THREADS"], fresh_pages()

    return double


def fresh_pages():
    """Return the number of pages that the kernel clears for 16 MB after 16 MB were freed."""
    np.ones(2**21)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**21)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def broken():
    raise OSError("no library")


def dying():
    os.kill(os.getpid(), signal.SIGKILL)


def test_every_item_is_done_by_single_threaded_workers():
    before = os.environ.get("OMP_NUM_THREADS")
    lanes = [Lane("a", doubler, [[1, 2], [3]]), Lane("b", doubler, [[10], [20]])]
    outcomes = list(work(lanes, workers=2))
    assert sorted(outcome.result[0] for outcome in outcomes) == [2, 4, 6, 20, 40]
    assert {outcome.result[2] for outcome in outcomes} == {"1"}
    assert max(outcome.result[3] for outcome in outcomes) < 100  # hundreds if memory were returned to the kernel
    assert os.getpid() not in {outcome.result[1] for outcome in outcomes}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_a_batch_stays_in_one_worker():
    outcomes = list(work([Lane("a", doubler, [[1, 2, 3], [4, 5, 6]])], workers=2))
    homes = {outcome.item: outcome.result[1] for outcome in outcomes}
    assert homes[1] == homes[2] == homes[3]
    assert homes[4] == homes[5] == homes[6]


def test_a_killed_worker_costs_only_its_item():
    outcomes = {o.item: o for o in work([Lane("a", functools.partial(doubler, 2), [[1, 2, 3], [4]])], workers=1)}
    assert {item: outcome.result[0] for item, outcome in outcomes.items() if outcome.result} == {1: 2, 3: 6, 4: 8}
    assert "SIGKILL, perhaps because memory ran out" in outcomes[2].reason
    assert outcomes[2].retry
    assert outcomes[1].result[1] != outcomes[3].result[1]


def test_every_way_to_fail_has_its_reason():
    ways = ("segfault", "bench", "cell", "raise")
    lanes = [Lane(how, functools.partial(doubler, 1, how), [[1]]) for how in ways]
    found = {outcome.reason: outcome for outcome in work(lanes, workers=2)}
    assert set(found) == {
        "the worker process was killed by SIGSEGV",
        "mend it",
        "no face",
        "ValueError: wrong value",
    }
    assert not found["no face"].retry
    assert "wrong value" in found["ValueError: wrong value"].traceback


def test_a_lane_that_cannot_be_set_up_fails_whole_and_others_go_on():
    lanes = [Lane("x", broken, [[1, 2], [3]]), Lane("y", dying, [[4]]), Lane("z", doubler, [[5]])]
    outcomes = {outcome.item: outcome for outcome in work(lanes, workers=2)}
    assert {outcomes[item].reason for item in (1, 2, 3)} == {"OSError: no library"}
    assert "SIGKILL" in outcomes[4].reason
    assert outcomes[5].result[0] == 10


def test_leaving_early_ends_the_workers():
    outcomes = work([Lane("a", doubler, [[1], [2], [3]])], workers=2)
    pid = next(outcomes).result[1]
    outcomes.close()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return
    raise AssertionError("the worker is still there")


def slow(seconds):
    """Take `seconds` to set up. Each item then starts a program, and an item that is 0 takes 60 s."""
    time.sleep(seconds)

    def do(item):
        program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        try:
            time.sleep(0 if item else 60)
        finally:
            program.kill()
            if not item:
                Path(os.environ["ENDED"]).write_text("cleaned up")
        return item

    return do


def test_a_hung_item_costs_itself_alone_and_its_program_is_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("ENDED", str(tmp_path / "ended"))
    started = time.monotonic()
    outcomes = {
        o.item: o for o in work([Lane("a", functools.partial(slow, 0), [[1, 0, 2], [3]])], workers=1, limit_s=0.5)
    }
    assert time.monotonic() - started < 30
    assert {item: outcome.result for item, outcome in outcomes.items()} == {1: 1, 0: None, 2: 2, 3: 3}
    assert (outcomes[0].reason, outcomes[0].retry) == ("timed out after 0.5 s (--cell-timeout)", True)
    assert (tmp_path / "ended").read_text() == "cleaned up"


def test_what_does_not_react_is_ended_by_force(monkeypatch):
    monkeypatch.setattr("megbench.core.worker.PATIENCE_S", 0.1)
    (outcome,) = work([Lane("a", functools.partial(doubler, 1, "deaf"), [[1]])], workers=1, limit_s=0.1)
    assert outcome.reason == "timed out after 0.1 s (--cell-timeout)"


def test_a_set_up_that_hangs_fails_its_lane(monkeypatch):
    monkeypatch.setattr("megbench.core.worker.SET_UP_S", 0.1)
    outcomes = list(work([Lane("a", functools.partial(slow, 60), [[1], [2]])], workers=1, limit_s=0.1))
    assert {outcome.item: outcome.reason for outcome in outcomes} == dict.fromkeys(
        (1, 2), "timed out after 0.1 s (--cell-timeout)"
    )
