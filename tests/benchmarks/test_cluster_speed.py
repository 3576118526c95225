"""Compare one and two Dask workers on cells that sleep rather than compute: `make bench`."""

import time

from megbench.engine.benchmark import Benchmark
from megbench.engine.runner import Row, Settings
from megbench.engine.scoring import Scorer
from tests.fakes import Counted, Fakes, Seen, Shift, make_clips
from tests.test_sharing import cluster

DRIVERS, SLEEP_S = 20, 1.0


def seconds(place, workers):
    """Return the seconds that `workers` take for all cells but four, which warm them up in another run."""
    make_clips(place / "drivers", count=DRIVERS)
    source = Fakes(place, place / "drivers")
    cells = source.cells()

    def complete(some, folder, engine):
        settings = Settings(place / "store", "cpu", 0, 2, engine)
        row = Row.of("shift", "shift", "", {"sleep": str(SLEEP_S)}, Shift)
        scorer = Scorer((Counted,), Seen, settings.store, 2, engine)
        began = time.perf_counter()
        assert Benchmark(place / folder, {}, source, some, [row], settings, scorer).complete() == []
        return time.perf_counter() - began

    with cluster(place, workers) as (engine, _):
        complete(cells[:4], "warm", engine)
        return complete(cells[4:], "run", engine)


def test_two_workers_are_nearly_twice_as_fast_as_one(tmp_path, monkeypatch, benchmark):
    monkeypatch.setenv("MEASURED_LOG", str(tmp_path / "measured.txt"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = seconds(tmp_path / "one", 1), seconds(tmp_path / "two", 2)
    benchmark.pedantic(lambda: None, rounds=1)
    print(f"\n{2 * DRIVERS - 4} cells of {SLEEP_S} s: one worker {one:.1f} s, two {two:.1f} s, {one / two:.2f} times")
    assert one / two > 1.9
