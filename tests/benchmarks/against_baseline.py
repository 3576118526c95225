"""Compare this checkout with the baseline commit, on this machine and in one session: `make bench`.

Each side runs the same commands in its own folders and stores, which are initially empty. Processor seconds are user
plus system time of the command and of all processes that it starts. Nothing else should be running on the machine.
"""

from __future__ import annotations

import csv
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megbench.core.worker import THREADS

BASELINE = "0073482"
HERE = Path(__file__).resolve().parents[2]
DEMO = ("--methods", "fpfomm,fomm,mraa", "--out", "run")
# Drivers that are folders of pictures have no known action units; a cell without a source of units fails.
SIX_METHODS = "fpfomm,fomm,mraa,tps,tps_rau:au_source=flow,ulmegan:au_source=flow"
SIX = ("--methods", SIX_METHODS, "--protocol", "folder", "--out", "run")


@dataclass(frozen=True)
class Used:
    """The cost of a command: wall and processor seconds, and the memory of its largest process in MB."""

    wall: float
    cpu: float
    peak_mb: float


@dataclass(frozen=True)
class Side:
    """A checkout and the folder in which its commands run."""

    name: str
    checkout: Path
    place: Path

    def bench(self, folder: str, *arguments: str) -> Used:
        """Run the command line in `folder` of this side's place; exit if it fails."""
        return self._timed(folder, [str(self.checkout / "bench.py"), *arguments])

    def probe(self, name: str, *arguments: str) -> list[float]:
        """Run a script in this folder with this side's code, on one thread as workers do; return its numbers."""
        script = str(Path(__file__).with_name(name))
        environment = {**self.environment(), **dict.fromkeys(THREADS, "1")}
        done = subprocess.run([sys.executable, script, *arguments], env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{self.name}: {name} failed:\n{done.stderr}")
        return [float(word) for word in done.stdout.split()]

    def _timed(self, folder: str, command: Sequence[str]) -> Used:
        inside = self.place / folder
        inside.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        with (inside / "log.txt").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, *command], cwd=inside, env=self.environment(), stdout=log, stderr=log
            )
            _, status, usage = os.wait4(child.pid, 0)
        if status:
            sys.exit(f"{self.name}: {' '.join(command)} failed; see {inside / 'log.txt'}")
        return Used(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def environment(self) -> dict[str, str]:
        """Return the environment of this side's commands."""
        return {**os.environ, "PYTHONPATH": str(self.checkout), "TQDM_DISABLE": "1"}


def check_out(place: Path) -> Path:
    """Check out the baseline commit into `place`; exit if this repository does not have it."""
    clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(HERE), str(place)]
    checkout = ["git", "-C", str(place), "checkout", "--quiet", BASELINE]
    if subprocess.run(clone).returncode or subprocess.run(checkout).returncode:
        sys.exit(f"Commit {BASELINE} cannot be checked out. Fetch the whole history: git fetch --unshallow")
    return place


def animating(run: Path) -> float:
    """Return the seconds that the networks of a run took, as recorded in its cells."""
    facts = json.loads((run / "run.json").read_text())
    labels = [method["label"] for method in facts["methods"] if not method["is_control"]]
    return float(sum(cell["seconds"] for label, cell in cells(run) if label in labels))


def cells(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the label and the record of each cell of a run."""
    for path in sorted(run.glob("cells/*/*/cell.json")):
        yield path.parent.parent.name, json.loads(path.read_text())


def shape(run: Path) -> dict[str, Any]:
    """Return the facts that two runs of the same request must have in common."""
    with (run / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    page = (run / "report.html").read_text()
    return {
        "cells": sorted({(row["method"], row["driver"], row["template"]) for row in rows if row["scope"] == "cell"}),
        "frames": [(label, cell["n_frames"], cell["status"]) for label, cell in cells(run)],
        "figures": sorted({(row["metric"], row["figure"]) for row in rows}),
        "clips on the page": len(re.findall(r'id="media-\d+"', page)) or len(list(run.glob("report_media/*.js"))),
    }


def differences(ours: Path, theirs: Path) -> list[str]:
    """Return one line per difference between two runs."""
    mine, other = shape(ours), shape(theirs)
    lines = []
    for name in mine:
        if isinstance(mine[name], list):
            new = [item for item in mine[name] if item not in other[name]]
            gone = [item for item in other[name] if item not in mine[name]]
            lines += [f"{name}: only here: {item}" for item in new] + [
                f"{name}: only in the baseline: {item}" for item in gone
            ]
        elif mine[name] != other[name]:
            lines.append(f"{name}: {mine[name]} here, {other[name]} in the baseline")
    return lines


def changed_recipes(ours: Path, theirs: Path) -> Iterator[str]:
    """Yield a line with both means for every row and figure of the metrics whose versions differ."""

    def versions(run: Path) -> dict[str, str]:
        return {metric["name"]: metric["version"] for metric in json.loads((run / "run.json").read_text())["metrics"]}

    def means(run: Path) -> dict[tuple[str, str, str], str]:
        with (run / "scores.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["scope"] == "all"]
        return {(row["metric"], row["figure"], row["method"]): row["value"] for row in rows}

    new, old, here, there = versions(ours), versions(theirs), means(ours), means(theirs)
    for key in sorted(here):
        metric, figure, method = key
        if metric in old and new[metric] != old[metric] and key in there and (here[key] or there[key]):
            values = (f"{float(value):.4f}" if value else "absent" for value in (there[key], here[key]))
            yield f"{metric} {old[metric]} -> {new[metric]} | {figure} | {method} | {' | '.join(values)}"


def row(what: str, theirs: float, ours: float) -> None:
    """Print a row of the table immediately, because the complete table takes most of an hour."""
    print(f"| {what} | {theirs:.2f} | {ours:.2f} | {ours / theirs:.3f} |", flush=True)


def compare(sides: Sequence[Side], folder: str) -> None:
    """Print the differences between the two runs of `folder`, then the figures whose recipe changed."""
    theirs, ours = (side.place / folder / "run" for side in sides)
    lines = differences(ours, theirs)
    print(f"\n{folder}: " + ("these differ:" if lines else "same cells, frames, figures and clips on the page"))
    print("\n".join(lines))
    print("\nFigures whose recipe changed: versions | figure | row | baseline | here")
    print("\n".join(changed_recipes(ours, theirs)), flush=True)


def demo(sides: Sequence[Side]) -> None:
    """Compare the demo run, a repetition of the same command and the measurement of one output."""
    used = [side.bench("demo", *DEMO) for side in sides]
    networks = [animating(side.place / "demo" / "run") for side in sides]
    row("demo run, processor seconds", *(one.cpu for one in used))
    row("the networks' seconds in it, as its cells recorded them", *networks)
    row("the demo run less these", *(one.cpu - seconds for one, seconds in zip(used, networks, strict=True)))
    row("demo run, wall seconds", *(one.wall for one in used))
    row("largest process of the demo run, MB", *(one.peak_mb for one in used))
    again = [[side.bench("demo", *DEMO).wall for _ in range(3)] for side in sides]
    row("the same command again, wall seconds, least of 3", *map(min, again))
    measured = [side.probe("measure_one.py", str(side.place / "demo"))[0] for side in sides]
    row("measuring one output of 40 frames, processor seconds", *measured)
    compare(sides, "demo")


def large(sides: Sequence[Side], count: int = 9) -> None:
    """Compare a run of MEGC2021's size, or one with `count` of its nine drivers."""
    long = sides[0].place.parent / "long"
    drivers = [sys.executable, str(Path(__file__).with_name("long_drivers.py")), str(long), str(count)]
    subprocess.run(drivers, env=sides[1].environment(), check=True)
    folders = ("--drivers", str(long / "drivers"), "--templates", str(long / "templates"))
    used = [side.bench("large", *SIX, *folders) for side in sides]
    row(f"{count} drivers of 30 to 126 frames, six networks, processor seconds", *(one.cpu for one in used))
    row("the networks' seconds in it", *(animating(side.place / "large" / "run") for side in sides))
    compare(sides, "large")


def main(parts: Sequence[str]) -> None:
    """Run both sides; print the table as it grows, the differences between them, and figures whose recipe changed."""
    known = {"demo": demo, "large": large, "third": functools.partial(large, count=3)}
    if unknown := set(parts) - set(known):
        sys.exit(f"Unknown part {min(unknown)!r}. Choose from {', '.join(known)}; without any: demo, large.")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        sides = [Side("baseline", check_out(place / "checkout"), place / "old"), Side("here", HERE, place / "new")]
        print("| what | baseline | here | ratio |\n|---|---|---|---|")
        for part in parts or ("demo", "large"):
            known[part](sides)


if __name__ == "__main__":
    main(sys.argv[1:])
