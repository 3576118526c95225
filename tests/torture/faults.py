"""The faults injected into a run, one function each; every trial ends by running the same command again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.torture.arena import Arena, Ended, as_others, end, small_disk, unwritable, workers

Result = dict[str, str]


# The maximum number of cells that a run finishes before it is disturbed; a run has four cells.
CELLS = 3
# The size of a disk with room for everything, and the range of free space on a disk that fills up. A run writes about
# 3,000 kB.
LARGE_KB = 400_000
ROOM_KB = (300, 2400)


@dataclass(frozen=True)
class Trial:
    """One disturbed run.

    told: whether the disturbed process ended as it should (without a traceback, with the right exit code); None if it
    could report nothing because it was killed, or if nothing was running. equal: whether running the command again
    produced the undisturbed result, sealed. writing: whether a file was being written at the moment of the fault. note:
    what happened, for the table. tried: False if this machine does not permit the fault.
    """

    told: bool | None
    equal: bool
    writing: bool = False
    note: str = ""
    tried: bool = True


@dataclass(frozen=True)
class Undisturbed:
    """The result of the undisturbed run, and how many seconds it takes."""

    result: Result
    seconds: float


Fault = Callable[[Arena, random.Random, Undisturbed], Trial]


def settled(arena: Arena, whole: Undisturbed, told: bool | None, note: str, writing: bool = False) -> Trial:
    """Run the command again and compare its result with the undisturbed one."""
    again = arena.finish()
    equal = again.code == 0 and arena.result() == whole.result and arena.sealed()
    if not equal:
        note += f"; then exit code {again.code}: {last_line(again)}"
    return Trial(told, equal, writing, note)


def last_line(ended: Ended) -> str:
    """Return the last line a process printed, preferring errors to progress bars."""
    lines = ended.said.strip().splitlines() or ["nothing"]
    return next((line for line in reversed(lines) if line.startswith("Error: ")), lines[-1])[:200]


def one_line(ended: Ended, code: int) -> bool:
    """Return whether a process ended with this exit code and without a traceback."""
    return ended.code == code and "Traceback" not in ended.said


def killed(arena: Arena, rng: random.Random, whole: Undisturbed) -> Trial:
    """Kill the run with SIGKILL at a uniformly random moment; in half of the trials, workers outlive their parent."""
    process = arena.start()
    moment, alone = rng.uniform(0.05, 0.98) * whole.seconds, rng.random() < 0.5
    time.sleep(moment)
    os.kill(process.pid, signal.SIGKILL)
    writing = bool(arena.writing())
    if not alone:
        end(process)
    process.wait()
    return settled(arena, whole, None, f"killed after {moment:.1f} s", writing)


def killed_writing(arena: Arena, rng: random.Random, whole: Undisturbed) -> Trial:
    """Kill the whole process group with SIGKILL in the middle of a write, while a temporary file exists."""
    process = arena.start()
    time.sleep(rng.uniform(0.2, 0.9) * whole.seconds)
    arena.wait_for(lambda: bool(arena.writing()), process)
    end(process)
    return settled(arena, whole, None, "killed while writing", bool(arena.writing()))


def interrupted(arena: Arena, rng: random.Random, whole: Undisturbed) -> Trial:
    """Send SIGINT, as Ctrl-C does, while cells are being made."""
    process = arena.start()
    arena.wait_for(lambda: len(arena.cells()) > rng.randrange(CELLS), process)
    process.send_signal(signal.SIGINT)
    ended = arena.finish(process)
    return settled(arena, whole, one_line(ended, 130), last_line(ended))


def worker_killed(arena: Arena, rng: random.Random, whole: Undisturbed) -> Trial:
    """Kill a worker as the out-of-memory killer does: its cell fails, others finish, and the next command makes it."""
    process = arena.start()
    arena.wait_for(lambda: len(arena.cells()) > rng.randrange(CELLS) and bool(workers(process)), process)
    for number in workers(process):
        os.kill(number, signal.SIGKILL)
    ended = arena.finish(process)
    return settled(arena, whole, one_line(ended, 1) or one_line(ended, 0), last_line(ended))


def disk_full(arena: Arena, rng: random.Random, whole: Undisturbed) -> Trial:
    """Fill up the disk in the middle of the run, then make room again."""
    shutil.rmtree(arena.folder)
    try:
        with small_disk(arena.folder, LARGE_KB) as resize:
            arena.furnish()
            resize(used_kb(arena.folder) + rng.randint(*ROOM_KB))
            ended = arena.finish()
            resize(LARGE_KB)
            return settled(arena, whole, one_line(ended, 2) or one_line(ended, 1), said(ended))
    except OSError as error:
        return Trial(True, True, note=str(error), tried=False)


def read_only(arena: Arena, rng: random.Random, whole: Undisturbed) -> Trial:
    """Make the folders read-only in the middle of the run, then writable again."""
    process, wanted = arena.start(as_others()), rng.randrange(CELLS)
    arena.wait_for(lambda: len(arena.cells()) > wanted, process)
    with unwritable([arena.folder / "run", arena.folder / ".megbench"]):
        ended = arena.finish(process)
    return settled(arena, whole, one_line(ended, 2) or one_line(ended, 1), said(ended))


def used_kb(folder: Path) -> int:
    """Return the kilobytes in use on the file system of a folder."""
    return shutil.disk_usage(folder).used // 1024


def said(ended: Ended) -> str:
    """Describe how a process ended, for the table."""
    return f"exit code {ended.code}: {last_line(ended)}"


def input_vanished(arena: Arena, rng: random.Random, whole: Undisturbed) -> Trial:
    """Remove the drivers' folder while the run is working, then restore it."""
    process = arena.start()
    arena.wait_for(lambda: len(arena.cells()) > rng.randrange(CELLS), process)
    aside = arena.folder / "aside"
    (arena.folder / "drivers").rename(aside)
    during = arena.finish(process)
    without = arena.finish()
    aside.rename(arena.folder / "drivers")
    told = "Traceback" not in during.said and one_line(without, 2)
    return settled(arena, whole, told, last_line(without))


def altered(arena: Arena, rng: random.Random, whole: Undisturbed) -> Trial:
    """Cut one file of a finished run or of its store short, or flip a bit in it."""
    arena.finish()
    path = rng.choice(kept(arena))
    data = bytearray(path.read_bytes())
    if rng.random() < 0.5 or not data:
        del data[len(data) // 2 :]
    else:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return settled(arena, whole, None, f"{path.relative_to(arena.folder)} altered")


def kept(arena: Arena) -> list[Path]:
    """Return the files that a run and its store keep, except locks."""
    found = [path for part in ("run", ".megbench") for path in (arena.folder / part).rglob("*") if path.is_file()]
    return sorted(path for path in found if not path.name.startswith(".") and path.suffix != ".lock")


def raced(arena: Arena, rng: random.Random, whole: Undisturbed) -> Trial:
    """Start the same command twice in one folder, a moment apart; one works and the other is refused."""
    first = arena.start()
    time.sleep(rng.uniform(0, 0.3) * whole.seconds)
    second = arena.start()
    ended = {process.pid: arena.finish(process) for process in (first, second)}
    done, refused = sorted(ended.items(), key=lambda each: each[1].code)
    named = f"Another process is working on run (process {done[0]} on " in refused[1].said
    told = one_line(done[1], 0) and one_line(refused[1], 2) and named and arena.result() == whole.result
    return settled(arena, whole, told, "; ".join(last_line(each) for each in ended.values()))


# For each fault, the number of trials and its name in the table.
FAULTS: dict[Fault, tuple[int, str]] = {
    killed: (34, "`kill -9` at a random moment"),
    killed_writing: (16, "`kill -9` in the middle of a write"),
    interrupted: (3, "Ctrl-C"),
    worker_killed: (3, "a worker killed, as when memory runs out"),
    disk_full: (3, "disk full"),
    read_only: (2, "folder read-only"),
    input_vanished: (2, "inputs gone"),
    altered: (10, "a file cut short or a bit flipped"),
    raced: (3, "two processes on the same run"),
}
