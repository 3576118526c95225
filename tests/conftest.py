"""Shared fixtures: the command line in an empty folder, and databases on disk that look like real ones."""

import atexit
import functools
import gc
import hashlib
import os
import sys
from pathlib import Path
from unittest import mock

if "PYTEST_XDIST_WORKER" in os.environ:  # before PyTorch is imported: one worker per core, one thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    gc.disable()  # enabled again once everything is imported

import pytest
import typer.main
from hypothesis import HealthCheck, settings

import bench
from megbench.core.files.own_store import work_for
from megbench.core.worker import Outcome, answer, set_up
from megbench.methods import METHODS
from megbench.metrics import METRICS
from megbench.protocols import PROTOCOLS
from tests.browser import CHROMIUM, FLAGS
from tests.fakes import FAKES

# Slow draws and examples indicate a busy machine, not a fault.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Typer rebuilds the commands and options from our functions on every call, which takes a tenth of a second.
get_command = functools.cache(typer.main.get_command)


def pytest_collection_finish():
    """Exempt imported objects from garbage collection, because there are many and they live until the process ends."""
    gc.freeze()
    gc.enable()
    atexit.register(gc.unfreeze)


@pytest.fixture(autouse=True)
def no_lasting_memo(monkeypatch):
    """Keep memoised results (core.files.memo) in memory only, wherever the tests are started."""
    monkeypatch.setattr("megbench.core.files.memo.STORE", Path("nowhere"))


@pytest.fixture(scope="session", autouse=True)
def boxes_remembered():
    """Search each picture for faces only once; tests share a few pictures, and a search takes a tenth of a second."""
    from megbench.faces import landmarks  # imported here: the process that only distributes tests does not need it

    search, found = landmarks._boxes, {}

    def remembered(padded, doublings):
        key = padded.shape, doublings, hashlib.blake2b(padded.tobytes()).digest()
        if key not in found:
            found[key] = search(padded, doublings)
        return list(found[key])

    with mock.patch.object(landmarks, "_boxes", remembered):
        yield


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Return a function that runs the command line in an empty folder and returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(typer.main, "get_command", get_command)
    for name, target in FAKES.items():
        monkeypatch.setitem(METHODS, name, target)
    monkeypatch.setitem(METRICS, "difference", "tests.fakes:Difference")
    monkeypatch.setitem(PROTOCOLS, "fakes", "tests.fakes:Fakes")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bench.py", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            bench.main()
        out, err = capfd.readouterr()
        return stop.value.code or 0, out, err

    return run


@pytest.fixture
def in_this_process(monkeypatch):
    """Run the work of worker processes in this process, so that imports happen only once and no error is hidden."""

    def work(lanes, workers, limit_s=None):
        for lane in lanes:
            handle = set_up(lane.set_up)
            for item in (item for batch in lane.batches for item in batch):
                failed = isinstance(handle, Outcome)
                yield Outcome(item, None, handle.reason, True, handle.traceback) if failed else answer(handle, item)

    monkeypatch.setattr("megbench.core.weights.published_checkpoints.work", work)
    monkeypatch.setattr("megbench.engine.dispatch.work", work)
    monkeypatch.setattr("megbench.clips.synthetic.parallel.FEW", sys.maxsize)
    yield
    work_for(None)


@pytest.fixture(scope="session")
def databases(tmp_path_factory):
    """Return the read-only folders of the look-alike databases by name (for the table, the path of its file)."""
    from tests import lookalikes  # imported here for the same reason as above

    root = tmp_path_factory.mktemp("databases")
    made = {}
    for name in ("casme2", "samm", "smic", "smic_e", "table"):
        (root / name).mkdir()
        made[name] = getattr(lookalikes, name)(root / name)
    return made


@pytest.fixture(scope="module")
def browser():
    """Yield Chromium for one module only, because its event loop must not be running during other modules' tests."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("no Chromium found: install it (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield chromium
        chromium.close()
