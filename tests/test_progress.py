"""Progress in a log is whole lines, few of them; in a terminal it is a bar."""

import sys

import pytest

from megbench.core import progress
from megbench.core.progress import LINE_S, track


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock by one that stands still; return a function that advances it by some seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_a_log_has_a_line_every_thirty_seconds_and_one_at_the_end(clock, capsys):
    for _ in track(range(200), "Animating", "cell"):
        clock(1.0)
    err = capsys.readouterr().err
    assert "\r" not in err
    lines = err.splitlines()
    assert len(lines) == 200 // LINE_S + 1
    assert lines[0] == "Animating: 30 of 200 cells, 30 s, about 3 minutes left"
    assert lines[-1] == "Animating: 200 of 200 cells, 3 minutes"


def test_a_log_shows_what_is_known(clock, capsys):
    assert list(track(iter("abc"), "Checking", "test")) == ["a", "b", "c"]
    assert list(track([], "Nothing", "cell")) == []
    bar = progress.progress("stage main", "step", 2000, done=1000)
    clock(LINE_S)
    bar.set_postfix({"fit": 0.123456})
    bar.update()
    stopped = track([1, 2, 3], "Stopped", "")
    next(stopped), next(stopped)
    stopped.close()
    progress.progress("hidden", "step", 5, silent=True).close()
    assert capsys.readouterr().err.splitlines() == [
        "Checking: 3 tests, 1 s",
        "stage main: 1,001 of 2,000 steps, 30 s, about 8.3 hours left, fit 0.123",
        "Stopped: 1 of 3, 1 s",
    ]


def test_a_terminal_has_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(track([1, 2, 3], "Animating", "cell")) == [1, 2, 3]
    err = capsys.readouterr().err
    assert "\r" in err
    assert "3/3" in err
