"""A finished run is sealed: one flipped bit anywhere is found, and the same command restores its cells."""

import os
import random
import re

import pytest

from megbench.core.frames import write_frames, write_png
from megbench.engine.seal import MANIFEST, faults, seal, seal_again, sealed
from tests.fakes import flipped, make_clips
from tests.moving_face import BROW, face, render

pytestmark = pytest.mark.usefixtures("in_this_process")
RUN = ("--methods", "shift,fragile@raises", "--protocol", "fakes", "--drivers", "clips", "--metrics", "difference")


@pytest.fixture
def run(call, tmp_path):
    make_clips(tmp_path / "clips", count=2)
    code, _, _ = call(*RUN, "--no-controls", "--out", "out")
    assert code == 1  # fragile fails on d1
    return tmp_path / "out"


def test_a_finished_run_verifies_and_its_cells_come_out_again(call, run):
    code, out, err = call("verify", "out")
    assert code == 0, out + err
    assert "no file has changed" in out
    assert "5 cells animated again; 0 differ" in out


def test_one_flipped_bit_in_any_artefact_is_found(call, run):
    rng = random.Random(3)
    files = [path for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")]
    kinds = {path.suffix for path in files}
    assert {".png", ".json", ".csv", ".html"} <= kinds
    for path in files:
        whole = path.read_bytes()
        at = rng.randrange(8 * len(whole))
        path.write_bytes(flipped(whole, at))
        lines = faults(run)
        assert len(lines) == 1, (path, at)
        assert lines[0].startswith(path.relative_to(run).as_posix())
        path.write_bytes(whole)
    assert faults(run) == []


def test_every_bit_of_the_seal_counts(run):
    path = run / MANIFEST
    whole = path.read_bytes()
    rng = random.Random(5)
    for at in rng.sample(range(8 * len(whole)), 300):
        path.write_bytes(flipped(whole, at))
        assert len(faults(run)) == 1, at


def test_missing_and_added_files_are_named(call, run):
    picture = next(run.glob("cells/shift/*/frames/00001.png"))
    picture.rename(run / "stray.png")
    code, out, _ = call("verify", "out")
    assert code == 1
    assert f"{picture.relative_to(run).as_posix()}: missing" in out
    assert "stray.png: not part of the finished run" in out


def test_another_answer_of_the_method_is_found(call, run, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fakes.Shift.identity", lambda self: {"by": 2})
    code, out, _ = call("verify", "out", "--sample", "3")
    assert code == 1
    assert "made with different code, weights, inputs or package versions" in out


def test_a_run_that_is_not_finished_is_not_verified(call, run):
    (run / MANIFEST).unlink()
    code, out, _ = call("verify", "out")
    assert code == 1
    assert "the run was not finished" in out
    assert not sealed(run)
    code, _, err = call("verify", "clips")
    assert code == 2
    assert "not the folder of a run" in err


def test_the_same_command_seals_anew_what_was_repaired(call, run):
    picture = next(run.glob("cells/shift/*/frames/00001.png"))
    whole = picture.read_bytes()
    picture.unlink()  # a link into the store, whose copy stays intact
    picture.write_bytes(whole[:-1])
    assert call("verify", "out")[0] == 1
    call(*RUN, "--no-controls", "--out", "out")
    assert picture.read_bytes() == whole
    assert call("verify", "out")[0] == 0
    seal(run)
    assert sealed(run)


def test_what_is_made_from_a_run_is_sealed_again_and_its_own_files_are_not(call, run):
    added, picture = run / "tables" / "notes.csv", next(run.glob("cells/shift/*/frames/00001.png"))
    added.parent.mkdir()
    added.write_text("a,b\n")
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-1])
    seal_again(run)
    assert faults(run) == [f"{picture.relative_to(run).as_posix()}: altered"]
    picture.write_bytes(whole)
    assert faults(run) == []
    (run / MANIFEST).unlink()
    seal_again(run)
    assert not (run / MANIFEST).exists()


def test_an_altered_page_is_made_again(call, run):
    for name in ("report.html", "summary.txt"):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(whole[:-9])
        call(*RUN, "--no-controls", "--out", "out")
        assert (run / name).read_bytes().endswith(whole[-9:])
        assert faults(run) == []


def test_bits_that_rot_under_an_old_time_are_found_by_verify(call, run):
    """The same command skips linked files of known size, time and inode. `verify` reads them and its findings count."""
    picture = next(run.glob("cells/shift/*/frames/00001.png"))
    os.utime(picture, ns=(10**18 + 1, 10**18 + 1))
    assert sealed(run)
    data = picture.read_bytes()
    picture.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    os.utime(picture, ns=(10**18 + 1, 10**18 + 1))
    assert sealed(run)
    assert faults(run) == [f"{picture.relative_to(run).as_posix()}: altered"]
    assert call("verify", "out")[0] == 1
    call(*RUN, "--no-controls", "--out", "out")
    assert picture.read_bytes() == data
    assert faults(run) == []


def test_what_other_commands_added_is_not_declared_whole_by_the_runs_own(call, run):
    added = run / "tables" / "notes.csv"
    added.parent.mkdir()
    added.write_text("a,b\n")
    seal_again(run)
    added.write_text("a,c\n")
    call(*RUN, "--no-controls", "--out", "out")
    assert faults(run) == ["tables/notes.csv: altered"]
    assert seal_again(run) == ["tables/notes.csv"]
    assert faults(run) == ["tables/notes.csv: altered"]
    code, _, err = call("report", "out")
    assert code == 0
    assert "tables/notes.csv was altered after it was sealed" in err
    assert faults(run) == ["tables/notes.csv: altered"]
    assert seal_again(run, "tables") == []  # sealed by the command that wrote it
    assert faults(run) == []


def test_the_same_command_makes_good_whatever_was_altered(call, tmp_path):
    """One file of every kind in a run and its store is damaged, first by flipping a bit and then by halving it."""
    write_frames(tmp_path / "drivers" / "brow", render(BROW, n_frames=3)[0])
    (tmp_path / "templates").mkdir()
    write_png(tmp_path / "templates" / "face.png", face())
    asked = (
        "--methods",
        "shift",
        "--no-controls",
        "--protocol",
        "folder",
        "--metrics",
        "difference,motion_agreement,face_distance",
    )
    places = ("--drivers", "drivers", "--templates", "templates", "--out", "out")

    def made():
        code, _, err = call(*asked, *places)
        assert code == 0, err
        assert faults(tmp_path / "out") == []
        return {path: path.read_bytes() for path in sorted((tmp_path / "out").glob("[!.]*/**/*.png"))} | {
            "scores": (tmp_path / "out" / "scores.csv").read_bytes()
        }

    whole = made()
    kept = [path for part in ("out", ".megbench") for path in sorted((tmp_path / part).rglob("*")) if path.is_file()]
    kinds = {re.sub(r"[0-9a-f]{2,}|\d+", "N", str(path)): path for path in kept if path.suffix != ".lock"}
    rng = random.Random(11)
    for path in (path for path in kinds.values() if not path.name.startswith(".")):
        before = path.read_bytes()
        at = rng.randrange(8 * len(before))
        for damaged in (flipped(before, at), before[: len(before) // 2]):
            path.write_bytes(damaged)
            assert made() == whole, (path, at)
