"""`python -m tests.torture`: disturb many real runs, compare each with an undisturbed one, and write the table.

The exit code is 1 if a score was lost or differs, or if a process did not end as it should.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from megbench.core.provenance import provenance
from tests.torture.arena import Arena
from tests.torture.faults import FAULTS, Fault, Trial, Undisturbed

EXAMPLES = 3
PAGE = """\
# Reliability

`make torture` measured these values on {date} with the code of that day, on {machine} with seed {seed}, in
{minutes:.1f} minutes. This page is not edited by hand.

Each trial is a real run (`bench.py {command}`: {cells} cells, {seconds:.1f} s undisturbed) that is disturbed once.
Then the same command is run again.

- *same*: every score and every frame is equal, bit for bit, to that of an undisturbed run, and the run is sealed
  (`bench.py verify`).
- *reported*: the disturbed process ended without a traceback and with the right exit code; "-" if it could report
  nothing, because it was killed or because the files of a finished run were damaged.

| fault | trials | during a write | reported | same after the command was run again |
|---|---|---|---|---|
{rows}

Of {sum} trials, {lost} ended with a lost or different score.

## Which damage is found

| damage to a file of a run or of the store | when the command is run again | by `bench.py verify` (the run's files) |
|---|---|---|
| cut short, missing, added, or replaced by another file | found | found |
| changed in place by any program | found: its modification time differs | found |
| replaced with the old size and time, as by unpacking | found by its change time, if it has one name | found |
| changed within 10 ms of being hashed (2 s if times are whole seconds) | found: it is hashed again | found |
| a bit flipped by the disk; a linked file changed and its old time restored | not found | found |

When the command is run again, it asks the system for the size, modification time and inode of each file, as git and
make do. It reads only files for which these differ from the recorded ones (`.megbench/file_hashes`, which may be
deleted at any time). `verify` always reads every file of the run; running the command again then repairs what it finds.
Damage in the store is found when a file is read: PNG files and archives have their own checksums, and stored scores and
records have a digest.

## What the processes printed

Examples, at most {examples} for each fault:

{notes}
"""


def main() -> int:
    """Run all trials, two at a time, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/reliability.md"))
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials, for a quick look")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only the faults whose function has this in its name")
    given = parser.parse_args()
    # A shell starts background processes with SIGINT ignored, and all processes started here would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="megbench-torture-") as folder:
        whole = undisturbed(Path(folder) / "undisturbed")
        plan = [
            (fault, number)
            for fault, (times, _) in FAULTS.items()
            if given.only in fault.__name__
            for number in range(max(1, round(times * given.share)))
        ]
        random.Random(given.seed).shuffle(plan)

        def do(item: tuple[Fault, int]) -> tuple[Fault, Trial]:
            fault, number = item
            arena = Arena(Path(folder) / f"{fault.__name__}-{number}")
            arena.furnish()
            return fault, fault(arena, random.Random(f"{given.seed} {fault.__name__} {number}"), whole)

        with ThreadPoolExecutor(2) as pool:
            trials = list(tqdm(pool.map(do, plan), total=len(plan), desc="Disturbing", unit="run"))
    page = written(trials, whole, given.seed, (time.monotonic() - began) / 60)
    given.out.write_text(page)
    print(page)
    return 0 if all(trial.told is not False and trial.equal for _, trial in trials) else 1


def undisturbed(folder: Path) -> Undisturbed:
    """Run twice without disturbance, in two folders; the result must depend on nothing but the inputs."""
    results = []
    for name in ("first", "second"):
        arena = Arena(folder / name)
        arena.furnish()
        ended = arena.finish()
        if ended.code:
            raise SystemExit(f"The undisturbed run failed with exit code {ended.code}:\n{ended.said}")
        results.append(arena.result())
    if results[0] != results[1]:
        raise SystemExit("Two undisturbed runs differ; nothing can be compared with them.")
    return Undisturbed(results[0], ended.seconds)


def written(trials: list[tuple[Fault, Trial]], whole: Undisturbed, seed: int, minutes: float) -> str:
    """Return the text of the page."""
    from tests.torture.arena import COMMAND

    facts = provenance("cpu")
    rows, notes = [], []
    for fault, (_, title) in FAULTS.items():
        found = [trial for other, trial in trials if other is fault]
        tried = [trial for trial in found if trial.tried]
        if not found:
            continue
        if not tried:
            rows.append(f"| {title} | not tried: {found[0].note} | | | |")
            continue
        rows.append(
            f"| {title} | {len(tried)} | {count(trial.writing for trial in tried)} |"
            f" {told(tried)} | {count(trial.equal for trial in tried)} |"
        )
        notes += [f"- {title}: {note}" for note in sorted({shown(trial) for trial in tried})[:EXAMPLES]]
    done = [trial for _, trial in trials if trial.tried]
    return PAGE.format(
        date=str(facts["date"])[:10],
        machine=facts["machine"]["processor"],
        seed=seed,
        minutes=minutes,
        command=" ".join(COMMAND),
        cells=len(whole.result) - 1,
        seconds=whole.seconds,
        rows="\n".join(rows),
        sum=len(done),
        lost=count(not trial.equal for trial in done),
        examples=EXAMPLES,
        notes="\n".join(notes),
    )


def told(tried: list[Trial]) -> str:
    """Return how many processes ended as they should, or - if none could report anything."""
    said = [trial.told for trial in tried if trial.told is not None]
    return str(sum(said)) if said else "-"


def shown(trial: Trial) -> str:
    """Return a trial's note, preceded by what went wrong."""
    faults = [word for word, bad in (("NOT TOLD", trial.told is False), ("NOT THE SAME", not trial.equal)) if bad]
    return " ".join([*faults, trial.note])


def count(values: Iterator[bool]) -> int:
    """Return how many values are true."""
    return sum(map(bool, values))


if __name__ == "__main__":
    raise SystemExit(main())
