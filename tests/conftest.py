"""What several tests share: the command line in an empty folder, with plug-ins that need no face."""

import sys

import pytest

import bench
from methods import METHODS
from metrics import METRICS
from protocols import PROTOCOLS
from tests.fakes import FAKES


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    """Run the command line in an empty folder: exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
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
