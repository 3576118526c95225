"""A run's results are exported, checked against the run, and added to the table with the text of a pull request."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from megbench.clips.databases import DATABASES
from megbench.core.errors import BenchError
from megbench.core.peak_memory import forget_peak, peak_mb
from megbench.engine.seal import measured_digest
from megbench.results.export import submission_of
from megbench.results.pull_request import check_public
from tests.results_fixture import make_small_run, mended, write

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def run(call, tmp_path, monkeypatch, tmp_path_factory):
    return make_small_run(call, tmp_path, monkeypatch, tmp_path_factory.mktemp("kept"))


def test_a_run_becomes_a_file_that_agrees_with_it(call, run, tmp_path):
    code, out, err = call("results", "export", "out", "-o", "mine.json")
    assert code == 0, out + err
    facts = json.loads((tmp_path / "mine.json").read_text())
    assert str(tmp_path) not in json.dumps(facts)
    assert facts["seal"] == measured_digest(run)
    shift = facts["rows"][0]
    assert (shift["label"], shift["is_control"], shift["status"]) == ("shift", False, "no weights")
    assert set(shift["cells"]) == {cell["name"] for cell in facts["cells"]}
    assert all(cell["driver_content"] and cell["template_content"] for cell in facts["cells"])
    assert shift["frames_per_second"] > 0
    scores = (run / "scores.csv").read_text()
    value = shift["cells"]["d0__t0"]["scores"]["difference"]
    assert re.search(rf"shift,False,cell,,d0,t0,noise,negative,difference,difference,{value:.4f}".rstrip("0"), scores)
    code, out, err = call("results", "check", "mine.json", "--run", "out", "--sample", "3")
    assert code == 0, out + err
    assert "3 outputs measured again" in out

    # A forgery that is consistent within the file is found only by comparison with the run.
    facts["rows"][0]["cells"]["d0__t0"]["output"] = "0" * 32
    write(mended(facts), tmp_path / "forged.json")
    assert call("results", "check", "forged.json")[0] == 0
    code, out, _ = call("results", "check", "forged.json", "--run", "out")
    assert code == 1
    assert "rows, shift, cells, d0__t0, output" in out


def test_scores_that_the_frames_do_not_have_are_found_by_measuring_again(call, run, tmp_path):
    """If a run's table is altered and the run resealed, the file agrees with the table but not with the frames."""
    from megbench.engine.seal import seal

    table = (run / "scores.csv").read_text()
    altered = re.sub(r"^(shift,False,cell,.*?,difference,difference,)[\d.]+", r"\g<1>1.0", table, flags=re.MULTILINE)
    altered = re.sub(
        r"^(shift,False,(?:all|database|emotion|template),.*?,difference,difference,)[\d.]+",
        r"\g<1>1.0",
        altered,
        flags=re.MULTILINE,
    )
    assert altered != table
    (run / "scores.csv").write_text(altered)
    seal(run)
    assert call("results", "export", "out", "-o", "mine.json")[0] == 0
    assert call("results", "check", "mine.json")[0] == 0
    code, out, _ = call("results", "check", "mine.json", "--run", "out", "--sample", "999")
    assert code == 1
    assert "row shift on d0__t0: difference is 1.0, but " in out


def test_one_command_adds_a_run_and_writes_the_request(call, run, tmp_path):
    code, out, err = call("results", "add", "out", "--entries", "table")
    assert code == 0, out + err
    (path,) = (tmp_path / "table").glob("*.json")
    assert path.stem.startswith("fakes-")
    assert "| shift | no weights |" in out
    assert "- [ ] I may publish scores on these databases." in out
    code, _, err = call("results", "add", "out", "--entries", "table")
    assert code == 2
    assert "exists" in err
    code, _, err = call("results", "add", "out", "--entries", "table", "--name", "../up")
    assert code == 2
    assert "cannot be used" in err
    code, out, err = call("results", "board", "--entries", "table", "--out", "site")
    assert code == 0, out + err
    assert (tmp_path / "site" / "index.html").is_file()


@pytest.mark.parametrize(
    ("protocol", "folders", "databases", "what"),
    [
        ("demo", {"portraits": None}, {"grey"}, ""),
        ("demo", {"portraits": "/home/ann/faces"}, {"grey"}, "your own portraits"),
        ("folder", {"drivers": "/data/CASME2"}, {"casme2"}, "your own clips and portraits"),
        ("self", {"drivers": "clips.csv"}, {"table"}, r"your own clips \(table\)"),
        ("self", {"drivers": "/data/SMIC"}, {"smic", "smic-vis"}, ""),
        ("self", {"drivers": "clips"}, {"folder"}, r"your own clips \(folder\)"),
        ("self", {"drivers": "MINE"}, {"samm", "our_clips"}, r"your own clips \(our_clips\)"),
        ("megc2021", {"data": "KIT"}, {"casme2"}, ""),
        ("of_a_plug_in", {}, {"new_database"}, ""),
    ],
)
def test_the_table_takes_only_what_others_can_run(protocol, folders, databases, what):
    cells = [SimpleNamespace(database=database) for database in databases]
    facts = SimpleNamespace(request={"folders": folders}, protocol=SimpleNamespace(name=protocol), cells=cells)
    run = SimpleNamespace(folder=Path("runs/x"), facts=facts)
    if not what:
        check_public(run, DATABASES)
        return
    with pytest.raises(BenchError, match=rf"runs/x was run on {what}\. The public table takes only .*results export"):
        check_public(run, DATABASES)


def test_a_run_that_is_not_whole_is_not_exported(run):
    (run / "manifest.json").unlink()
    with pytest.raises(BenchError, match="is not finished, or its manifest"):
        submission_of(run)


def test_pages_made_again_leave_the_seal_of_the_measured_as_it_is(call, run):
    before = measured_digest(run)
    assert call("report", "out", "--no-media")[0] == 0
    assert measured_digest(run) == before


def test_peak_memory_is_of_what_was_done_since_it_was_forgotten():
    if not forget_peak():
        pytest.skip("this system does not forget a process's peak")
    before = peak_mb()
    filled = bytearray(b"x" * 200_000_000)
    assert peak_mb() > before + 150
    del filled
    forget_peak()
    assert peak_mb() < before + 150
