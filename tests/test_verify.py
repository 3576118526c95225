"""A finished run is sealed: one flipped bit anywhere is found, and its cells come out again."""

import random

import pytest

from core.manifest import MANIFEST, faults, seal, sealed
from tests.fakes import make_clips

RUN = ("--methods", "shift,fragile@killed", "--protocol", "fakes", "--drivers", "clips", "--metrics", "difference")


@pytest.fixture
def run(call, tmp_path):
    make_clips(tmp_path / "clips", count=2)
    code, _, _ = call(*RUN, "--no-controls", "--out", "out")
    assert code == 1  # fragile dies on d1
    return tmp_path / "out"


def test_a_finished_run_verifies_and_its_cells_come_out_again(call, run):
    code, out, err = call("verify", "out")
    assert code == 0, out + err
    assert "every file as it was" in out
    assert "5 cells animated again, 0 differ" in out


def test_one_flipped_bit_in_any_artefact_is_found(call, run):
    rng = random.Random(3)
    files = [path for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")]
    kinds = {path.suffix for path in files}
    assert {".png", ".json", ".csv", ".html"} <= kinds
    for path in files:
        whole = path.read_bytes()
        at = rng.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
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
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
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
    assert "made by other code, weights or inputs" in out


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
    picture.unlink()  # a link into the store, whose copy stays whole
    picture.write_bytes(whole[:-1])
    assert call("verify", "out")[0] == 1
    call(*RUN, "--no-controls", "--out", "out")
    assert picture.read_bytes() == whole
    assert call("verify", "out")[0] == 0
    seal(run)
    assert sealed(run)
