"""Measure the cost of the runner itself with ten thousand two-frame cells that take no time to make: `make bench`.

The runner's time is the processor time of its own process. The total time, which includes its workers, is printed
beside it; workers spend most of their time encoding two PNG files, which is part of a cell's work.
"""

import resource
import time

import numpy as np

from megbench.core.clip import Cell, Template
from megbench.engine.benchmark import Benchmark
from megbench.engine.runner import Row, Settings
from megbench.engine.scoring import Scorer
from tests.fakes import Seen, Shift, make_clips

DRIVERS, TEMPLATES = 100, 100


class Trivial:
    """A protocol of every driver on every template."""

    name = "trivial"
    version = "1"

    def __init__(self, folder):
        clips = make_clips(folder, count=DRIVERS, n_frames=2)
        flat = np.zeros((256, 256, 3), np.uint8)
        faces = [Template.of(f"t{i}", f"t{i}", flat + np.uint8(i)) for i in range(TEMPLATES)]
        self.listed = [Cell("trivial", clip, face, reference=clip) for clip in clips for face in faces]

    def cells(self):
        """Return all cells."""
        return self.listed


def largest_memory_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_ten_thousand_trivial_cells(tmp_path, benchmark):
    source = Trivial(tmp_path / "clips")
    settings = Settings(tmp_path / "store", "cpu", 0, 2)
    row = Row.of("shift", "shift", "", {"by": "0"}, Shift)

    def complete(cells, folder):
        began, worked = time.perf_counter(), time.process_time()
        run = Benchmark(tmp_path / folder, {}, source, cells, [row], settings, Scorer((), Seen, settings.store, 2))
        assert run.complete() == []
        return time.perf_counter() - began, time.process_time() - worked

    complete(source.listed[:1000], "warm")
    before = largest_memory_mb()
    seconds, own = complete(source.listed, "run")
    grown = largest_memory_mb() - before
    again, _ = complete(source.listed, "run")
    benchmark.pedantic(lambda: None, rounds=1)
    cells = len(source.listed)
    print(f"\n{cells} cells: {1e3 * own / cells:.2f} ms each of the runner, {1e3 * seconds / cells:.2f} ms in all")
    print(f"rerun {again:.1f} s, memory grown by {grown:.0f} MB")
    assert cells == 10_000
    assert own / cells < 0.005
    assert again < 20
    assert grown < 100  # 10 kB a cell: its record and facts, no pictures
