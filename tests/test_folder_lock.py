"""Locks: one process holds a folder, the next learns which one or waits, and a lock ends with its process."""

import errno
import multiprocessing
import os
import re
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from megbench.core.errors import BenchError
from megbench.core.files.folder_lock import CLIP_STORE, LOCK, RUN, check_free, in_turn, locked_folder
from tests.report_fixture import make_run


def hold(folder, seconds):
    with locked_folder(folder, RUN):
        (folder / "held").touch()
        time.sleep(seconds)


def take_turns(lock, log):
    for _ in range(20):
        with in_turn(lock):
            for line in ("in\n", "out\n"):
                with log.open("a") as file:
                    file.write(line)
                time.sleep(0.001)


def started(target, *arguments):
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    return process


@pytest.fixture
def holder(tmp_path):
    """Start another process that holds the lock on `tmp_path / "run"`."""
    process = started(hold, tmp_path / "run", 120)
    while not (tmp_path / "run" / "held").exists():
        assert process.is_alive()
        time.sleep(0.01)
    yield process
    process.kill()
    process.join()


def enter(folder, what):
    locked_folder(folder, what).__enter__()


@pytest.mark.parametrize("attempt", [enter, check_free])
def test_who_comes_second_is_told_in_one_line_who_came_first(tmp_path, holder, attempt):
    with pytest.raises(BenchError) as told:
        attempt(tmp_path / "run", RUN)
    who = rf"process {holder.pid} on {re.escape(socket.gethostname())}, since [-\d]{{10}} [:\d]{{8}} UTC"
    assert re.fullmatch(
        rf"Another process is working on {tmp_path}/run \({who}\)\. Wait for it to finish, or .*", str(told.value)
    )


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert f"process {holder.pid}" in (tmp_path / "run" / LOCK).read_text(), "the note of the dead is still there"
    with locked_folder(tmp_path / "run", RUN):
        assert f"process {os.getpid()} " in (tmp_path / "run" / LOCK).read_text()
    assert (tmp_path / "run" / LOCK).read_text() == f"{RUN.name}\n"


def test_a_holder_that_has_not_said_who_it_is_yet_is_another_process(tmp_path):
    with locked_folder(tmp_path / "run", RUN):
        for note in (b"", b"\xff\xfe"):
            (tmp_path / "run" / LOCK).write_bytes(note)
            with pytest.raises(BenchError, match=rf"Another process is working on {tmp_path}/run\. Wait"):
                check_free(tmp_path / "run", RUN)


def test_who_waits_says_for_whom_and_goes_on_when_the_other_ends(tmp_path, capsys):
    other = started(hold, tmp_path / "run", 0.5)
    while not (tmp_path / "run" / "held").exists():
        time.sleep(0.01)
    with locked_folder(tmp_path / "run", RUN, wait=True):
        other.join(10)
        assert other.exitcode == 0
    assert re.search(rf"process {other.pid} on .*; waiting for it\.", capsys.readouterr().err)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    for attempt in (check_free, enter):
        with pytest.raises(BenchError, match=f"is not {RUN.name}"):
            attempt(tmp_path / "thesis", RUN)
        with pytest.raises(BenchError, match=r"cannot be created.*Not a directory"):
            attempt(tmp_path / "thesis" / "chapter.tex" / "runs" / "run", RUN)
    check_free(tmp_path / "new", RUN)
    assert not (tmp_path / "new").exists()
    (tmp_path / "new").mkdir()
    check_free(tmp_path / "new", RUN)
    assert not list((tmp_path / "new").iterdir())
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


@pytest.mark.parametrize("answer", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_without_locks_work_goes_on_and_the_user_knows(tmp_path, monkeypatch, capsys, answer):
    def flock(*_):
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr("fcntl.flock", flock)
    with locked_folder(tmp_path / "run", RUN), in_turn(tmp_path / "locks" / "a.lock"):
        assert "without locks. Do not start a second process on this folder" in capsys.readouterr().err


def test_other_refusals_of_the_system_are_passed_on(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(OSError, match="broken"):
        enter(tmp_path / "run", RUN)


def test_processes_take_turns(tmp_path):
    lock, log = tmp_path / "locks" / "a.lock", tmp_path / "log.txt"
    processes = [started(take_turns, lock, log) for _ in range(2)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert Path(log).read_text() == "in\nout\n" * 40


def test_a_folder_of_another_kind_is_refused_and_one_without_its_lock_file_taken(tmp_path):
    folder = tmp_path / "run"
    with locked_folder(folder, RUN):
        (folder / "cells").mkdir()
    with pytest.raises(BenchError, match="is not a clip store"), locked_folder(folder, CLIP_STORE):
        pass
    check_free(folder, RUN)  # as if the run had been started, then killed
    (folder / LOCK).unlink()
    with pytest.raises(BenchError, match="is not the folder of a run"):
        check_free(folder, RUN)
    (folder / "run.json").touch()  # as if the run had been copied without hidden files
    check_free(folder, RUN)


def test_what_adds_to_a_run_says_that_another_process_has_it(tmp_path, holder, call):
    run = tmp_path / "run"
    shutil.copytree(make_run(tmp_path / "made", frames=3), run, dirs_exist_ok=True)
    (tmp_path / "sheet.csv").write_text("expert,method,driver,template,upper,lower,noise\nE1,fpfomm,d1,t1,1,2,3\n")
    (tmp_path / "csvs").mkdir()
    before = sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*"))
    for command in (("report", run), ("openface", run, "csvs"), ("experts", "import", "sheet.csv", "--run", run)):
        code, _, err = call(*command)
        assert code == 2
        assert f"Error: Another process is working on {run} (process {holder.pid} " in err
        assert err.endswith("Wait for it to finish.\n")
    assert sorted((path, path.stat().st_mtime_ns) for path in run.rglob("*")) == before
    code, _, err = call("report", tmp_path / "csvs")
    assert (code, "csvs is not the folder of a run: it has no run.json." in err) == (2, True)
