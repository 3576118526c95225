"""Nothing is lost when several processes use one run or one store, or several machines use one run."""

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from megbench.clips.synthetic import rendered_clips
from megbench.core.errors import BenchError
from megbench.core.files.cache import read_cell, save_cell
from megbench.core.files.folder_lock import RUN, locked_folder
from megbench.core.files.working_folder import worker_environment
from megbench.core.weights import external_weights
from megbench.core.weights.external_weights import FILES
from megbench.engine.benchmark import Benchmark
from megbench.engine.dispatch import check_engine
from megbench.engine.runner import Row, Settings
from megbench.engine.scoring import Scorer
from megbench.faces.openface import kept_path
from megbench.methods import make_method
from megbench.methods.au_sources import table_path
from tests.fakes import Counted, Fakes, Fragile, Seen, Shift, finished_cells, make_clips

Fomm = make_method("fomm")

ROOT = Path(__file__).parent.parent
CELLS = 8


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Write clips for eight cells, and let runs log what they animate and measure. Return the folder."""
    make_clips(tmp_path / "drivers", count=CELLS // 2)
    monkeypatch.setenv("FAKES_LOG", str(tmp_path / "animated.txt"))
    monkeypatch.setenv("MEASURED_LOG", str(tmp_path / "measured.txt"))
    return tmp_path


def make_run(place, sleep=0.0, engine="local", folder="run", workers=1, row=None, limit_s=600):
    source = Fakes(place, place / "drivers")
    row = row or Row.of("shift", "shift", "", {"sleep": str(sleep)}, Shift)
    settings = Settings(place / "store", "cpu", 0, workers, engine, limit_s)
    scorer = Scorer((Counted,), Seen, settings.store, workers, engine)
    return Benchmark(place / folder, {}, source, source.cells(), [row], settings, scorer)


def complete(place, sleep, folder="run"):
    """Complete a run as `bench.py` does. Write the error that a user would read to a file named after this process."""
    run = make_run(place, sleep, folder=folder)
    try:
        with locked_folder(run.folder, RUN):
            run.complete()
    except BenchError as error:
        (place / f"{os.getpid()}.txt").write_text(str(error))
        sys.exit(2)


def started(target, *arguments):
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    return process


def lines(path):
    return sorted(path.read_text().splitlines())


def is_whole(place, folder="run"):
    scores = pd.read_csv(place / folder / "scores.csv")
    assert len(finished_cells(place / folder, "shift")) == CELLS
    assert json.loads((place / folder / "run.json").read_text())["finished"]
    assert set(scores["value"].dropna()) == {1.0}


def test_of_two_processes_at_one_run_one_works_and_one_is_told(place):
    first = started(complete, place, 0.2)
    while not (place / "animated.txt").exists():
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGSTOP)  # it holds the folder until the other process arrives
    second = started(complete, place, 0.2)
    second.join(60)
    os.kill(first.pid, signal.SIGCONT)
    first.join(60)
    assert (first.exitcode, second.exitcode) == (0, 2)
    assert f"is working on {place}/run (process {first.pid} on " in (place / f"{second.pid}.txt").read_text()
    is_whole(place)
    assert len(lines(place / "animated.txt")) == len(lines(place / "measured.txt")) == CELLS


def test_a_run_whose_process_was_killed_is_the_next_ones(place):
    first = started(complete, place, 0.4)
    while not (place / "animated.txt").exists():
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    second = started(complete, place, 0.0)
    second.join(60)
    assert second.exitcode == 0
    is_whole(place)


def test_two_runs_at_a_time_may_share_a_store(place):
    processes = [started(complete, place, 0.05, folder) for folder in ("run", "other")]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for folder in ("run", "other"):
        is_whole(place, folder)
    one, other = (pd.read_csv(place / folder / "scores.csv") for folder in ("run", "other"))
    pd.testing.assert_frame_equal(one, other)


def test_what_another_run_has_rendered_by_our_turn_is_not_rendered_again(tmp_path, monkeypatch):
    clip = SimpleNamespace(folder=tmp_path)
    found, rendered = iter([[], [clip]]), []
    monkeypatch.setattr(rendered_clips, "_kept", lambda scene, cache: next(found))
    monkeypatch.setattr(rendered_clips, "in_parallel", lambda record, scenes, *_, **options: rendered.extend(scenes))
    assert rendered_clips.shoot([SimpleNamespace(takes=1)], tmp_path) == [[clip]]
    assert rendered == []


def test_a_whole_cell_that_another_run_has_kept_stays_and_a_damaged_one_is_replaced(tmp_path):
    frames = np.zeros((2, 256, 256, 3), np.uint8)
    first = save_cell(tmp_path / "cell", "key", frames, 1.0)
    assert save_cell(tmp_path / "cell", "key", frames, 2.0) == first == read_cell(tmp_path / "cell", "key")
    (tmp_path / "cell" / "frames" / "00000.png").write_bytes(b"damaged")
    third = save_cell(tmp_path / "cell", "key", frames, 3.0)
    assert third.seconds == 3.0
    assert third == read_cell(tmp_path / "cell", "key")


@pytest.mark.parametrize("engine", ["slurm", "dask://", "dask://nobody", ""])
def test_engines_are_named_by_their_address(engine):
    with pytest.raises(BenchError, match="must be local or dask://HOST:PORT"):
        check_engine(engine)


def test_a_scheduler_that_is_not_there_is_one_line(place, monkeypatch):
    monkeypatch.setattr("megbench.engine.cluster.CONNECT_S", 1)
    with pytest.raises(BenchError, match=r"No Dask scheduler answers at 127\.0\.0\.1:9"):
        make_run(place, engine="dask://127.0.0.1:9").complete()


@contextlib.contextmanager
def cluster(place, workers):
    """Start a real scheduler and its workers on this machine. Yield the engine's name and the workers' processes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told, elsewhere = place / "scheduler.json", place / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": elsewhere}
    dask = [sys.executable, "-m", "dask"]
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", told]
    processes = [subprocess.Popen([*dask, "scheduler", *options], **quiet)]
    try:
        while not told.exists():
            time.sleep(0.1)
        options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--scheduler-file", told]
        processes += [subprocess.Popen([*dask, "worker", *options], **quiet) for _ in range(workers)]
        address = json.loads(told.read_text())["address"]
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address.replace("tcp://", "dask://"), processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_cluster_gives_what_one_machine_gives_and_what_dies_or_hangs_costs_its_cell_alone(place, monkeypatch):
    monkeypatch.chdir(place)
    make_run(place, folder="alone").complete()
    for name in ("animated.txt", "measured.txt"):
        (place / name).unlink()
    (place / "store").rename(place / "other")
    with cluster(place, 2) as (engine, workers):
        assert make_run(place, engine=engine).complete() == []
        is_whole(place)
        assert len(lines(place / "animated.txt")) == len(lines(place / "measured.txt")) == CELLS
        one, other = (pd.read_csv(place / folder / "scores.csv") for folder in ("alone", "run"))
        pd.testing.assert_frame_equal(one, other)
        threading.Timer(0.8, workers[0].kill).start()
        assert make_run(place, 0.4, engine, "later").complete() == []
        assert workers[0].poll() is not None
        is_whole(place, "later")
        assert len(lines(place / "animated.txt")) <= CELLS + CELLS + 1
        monkeypatch.setenv("MEGBENCH_WEIGHTS", "mine")
        (place / "mine").mkdir()
        (place / "mine" / "by.txt").write_text("1")
        finding = Row.of("finder", "finder", "", {}, Finder)
        assert make_run(place, engine=engine, folder="found", row=finding).complete() == []
        hanging = Row.of("fragile", "fragile", "hangs", {}, Fragile)
        failures = make_run(place, engine=engine, folder="hung", row=hanging, limit_s=2).complete()
        assert failures == [f"fragile on d1__t{t}: timed out after 2 s (--cell-timeout)" for t in range(2)]
        assert len(finished_cells(place / "hung", "fragile")) == CELLS


class Finder(Shift):
    """A method that rolls the template by the number in a file in the user's weights folder."""

    name = "finder"

    def animate(self, template, driver):
        self.by = int((external_weights.folder() / "by.txt").read_text())
        return super().animate(template, driver)


def test_one_place_knows_where_the_store_is():
    sources = {path for room in ROOT.glob("*/__init__.py") for path in room.parent.rglob("*.py")} | {ROOT / "bench.py"}
    knowing = [path for path in sources if re.search(r"Path\([\"']\.megbench", path.read_text())]
    assert [path.relative_to(ROOT).as_posix() for path in knowing if "tests" not in path.parts] == [
        "core/files/working_folder.py"
    ]


@pytest.mark.parametrize("weights", ["", "other/weights"])
def test_a_worker_started_elsewhere_finds_the_folders_that_are_meant(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEGBENCH_WEIGHTS", weights)
    weights = weights or ".megbench/weights"
    files = [".megbench/openface/abc.csv", ".megbench/aus/table/d.csv", f"{weights}/fomm@vox.pth"]
    for file in (*files, f"{weights}/{FILES['pyfeat'].file}"):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes(b"\0\1")

    def found():
        driver = SimpleNamespace(name="d")
        return [
            kept_path("abc"),
            table_path("table", driver),
            Fomm("vox", {}).weights,
            external_weights.require("pyfeat"),
        ]

    here = [path.resolve() for path in found()]
    places = worker_environment()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for variable, value in places.items():
        monkeypatch.setenv(variable, value)
    assert found() == here
    assert worker_environment() == places, "a worker's own workers find the same"
    assert all(path.is_file() for path in here)
