"""Several processes and machines at one run: nothing is done twice, nothing is lost, and it goes faster."""

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

import pandas as pd
import pytest
from megbench.core.claims import claim
from megbench.core.errors import BenchError
from megbench.core.files.working_folder import worker_environment
from megbench.core.weights import external_weights
from megbench.core.weights.external_weights import FILES
from megbench.engine.benchmark import Benchmark, claimed
from megbench.engine.dispatch import check_engine
from megbench.engine.runner import Row, Settings
from megbench.engine.scoring import Scorer
from megbench.faces.openface import kept_path
from megbench.methods.au_sources import table_path
from megbench.methods.fomm import Fomm

from tests.fakes import Counted, Fakes, Fragile, Seen, Shift, finished_cells, make_clips

ROOT = Path(__file__).parent.parent
CELLS = 8


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Clips for eight cells, and logs of what was animated and measured."""
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


def complete(place, sleep):
    run = make_run(place, sleep)
    with claimed(run.folder, purpose="the same", meanwhile=run.assist):
        run.complete()


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


def test_two_processes_share_one_run(place):
    processes = [started(complete, place, 0.4) for _ in range(2)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    is_whole(place)
    assert len(lines(place / "animated.txt")) == len(set(lines(place / "animated.txt"))) == CELLS
    assert len(lines(place / "measured.txt")) == len(set(lines(place / "measured.txt"))) == CELLS


def test_who_helps_goes_on_alone_where_the_other_is_killed(place):
    first = started(complete, place, 0.4)
    while not (place / "run" / ".purpose").exists():
        time.sleep(0.02)
    second = started(complete, place, 0.4)
    while not (place / "animated.txt").exists():
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    second.join(60)
    assert second.exitcode == 0
    is_whole(place)


def test_another_request_does_not_share_a_folder(place):
    with claimed(place / "run", purpose="one"), pytest.raises(BenchError, match="Another process works on"):
        claimed(place / "run", purpose="other", meanwhile=lambda: None).__enter__()


def test_a_claim_is_for_one_and_goes_with_its_process(tmp_path):
    with claim(tmp_path, "work", wait=False) as mine:
        assert mine
        with claim(tmp_path, "work", wait=False) as theirs:
            assert not theirs
    with claim(tmp_path, "work", wait=True) as mine:
        assert mine


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
    """A real scheduler and its workers on this machine; yields the engine's name and the workers' processes."""
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
    """Rolls by what a file in the user's weights says."""

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
