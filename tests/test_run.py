"""Runs are keyed by content, resumable, checked, and the same for any number of workers."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from megbench.core.clip import Template
from megbench.core.errors import BenchError
from megbench.engine.benchmark import Benchmark
from megbench.engine.runner import Row, Settings, cell_key, plan
from megbench.engine.scoring import Scorer
from megbench.engine.seal import seal
from megbench.methods.flow_warp import WrongDriver
from tests.fakes import Counted, Difference, Fakes, Faulty, Fragile, Needy, Seen, Shift, Unready, make_clips

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def in_worker_processes(in_this_process, monkeypatch):
    """Undo `in_this_process`, so that worker processes do the work."""
    monkeypatch.undo()


@pytest.fixture
def drivers(tmp_path):
    make_clips(tmp_path / "drivers")
    return tmp_path / "drivers"


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKES_LOG", str(tmp_path / "log.txt"))
    return lambda: (tmp_path / "log.txt").read_text().splitlines() if (tmp_path / "log.txt").exists() else []


def row(label="shift", maker=Shift, variant="", **options):
    return Row.of(label, maker.name, variant, options, maker)


def make_run(tmp_path, drivers, rows=None, metrics=(Difference,), workers=1, folder="run", cells=None, limit_s=600):
    source = Fakes(tmp_path, drivers)
    settings = Settings(tmp_path / "store", "cpu", 0, workers, limit_s=limit_s)
    scorer = Scorer(metrics, Seen, settings.store, workers)
    return Benchmark(tmp_path / folder, {}, source, cells or source.cells(), rows or [row()], settings, scorer)


def scores(run):
    return pd.read_csv(run.folder / "scores.csv", keep_default_na=False, na_values={"value": [""]})


def stamps(folder):
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in folder.rglob("*") if path.is_file()}


def test_a_run_holds_frames_scores_and_facts(tmp_path, drivers):
    run = make_run(tmp_path, drivers)
    assert run.complete() == []
    record = json.loads((run.folder / "cells/shift/d2__t0/cell.json").read_text())
    assert record["status"] == "ok"
    assert record["n_frames"] == len(list((run.folder / "cells/shift/d2__t0/frames").iterdir())) == 3
    facts = json.loads((run.folder / "run.json").read_text())
    assert facts["finished"]
    assert [cell["name"] for cell in facts["cells"]] == [f"d{d}__t{t}" for d in range(3) for t in range(2)]
    assert facts["methods"][0]["seconds_per_frame"] > 0
    assert (run.folder / "inputs/templates/t1.png").exists()
    assert len(list((run.folder / "inputs/drivers/d0/frames").iterdir())) == 3
    table = scores(run)
    own = table[(table["scope"] == "cell") & (table["driver"].str[1] == table["template"].str[1])]
    assert (own["value"] == 0).all()  # the clips are shifted noise, and so are the outputs
    assert len(own) == 2


def test_combined_rows_count_their_cells(tmp_path, drivers):
    run = make_run(tmp_path, drivers)
    run.complete()
    table = scores(run)
    assert dict(zip(table["scope"], table["n_cells"], strict=True))["all"] == 6
    by_emotion = table[table["scope"] == "emotion"].set_index("group")["n_cells"].to_dict()
    assert by_emotion == {"negative": 4, "positive": 2}
    cells = table[table["scope"] == "cell"]
    everything = table[table["scope"] == "all"]["value"].item()
    assert everything == pytest.approx(cells["value"].mean())


def test_a_second_run_does_nothing(tmp_path, drivers, log):
    make_run(tmp_path, drivers).complete()
    before = stamps(tmp_path / "run" / "cells")
    again = make_run(tmp_path, drivers)
    kept = {name: (tmp_path / "run" / name).stat().st_mtime_ns for name in ("run.json", "scores.csv")}
    again.complete()
    assert not again.changed
    assert stamps(tmp_path / "run" / "cells") == before
    assert {name: (tmp_path / "run" / name).stat().st_mtime_ns for name in kept} == kept
    assert len(log()) == 6


def finished(tmp_path, drivers, *arguments, shown="page", **options):
    return make_run(tmp_path, drivers, *arguments, **options).finished(shown)


def complete(tmp_path, drivers, *arguments, shown="page", **options):
    run = make_run(tmp_path, drivers, *arguments, **options)
    failures = run.complete(shown)
    seal(run.folder)
    return failures


def test_a_finished_run_is_known_until_anything_in_it_changes(tmp_path, drivers):
    assert finished(tmp_path, drivers) is None
    complete(tmp_path, drivers)
    assert finished(tmp_path, drivers) == []
    for path in (*stamps(tmp_path / "run" / "cells/shift/d1__t0"), *sorted((tmp_path / "run").glob("*.*"))):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert finished(tmp_path, drivers) is None, path
        path.write_bytes(whole)
        assert finished(tmp_path, drivers) == [], path
    (tmp_path / "run" / "added.csv").touch()
    assert finished(tmp_path, drivers) is None


def test_a_finished_run_is_another_if_anything_that_decides_it_is(tmp_path, drivers, monkeypatch):
    complete(tmp_path, drivers)
    assert finished(tmp_path, drivers, shown="another page") is None
    assert finished(tmp_path, drivers, rows=[row(by="2")]) is None
    assert finished(tmp_path, drivers, metrics=(Difference, Counted)) is None
    assert finished(tmp_path, drivers, cells=Fakes(tmp_path, drivers).cells()[:2]) is None
    brighter = make_run(tmp_path, drivers).cells[0]
    brighter = dataclasses.replace(brighter, reference=dataclasses.replace(brighter.reference, content="0"))
    assert finished(tmp_path, drivers, cells=[brighter, *Fakes(tmp_path, drivers).cells()[1:]]) is None
    monkeypatch.setattr(Difference, "version", "another")
    assert finished(tmp_path, drivers) is None
    monkeypatch.undo()
    assert finished(tmp_path, drivers) == []


@pytest.mark.parametrize(("variant", "lasts"), [("short", True), ("raises", False)])
def test_a_run_with_failures_is_finished_if_they_last(tmp_path, drivers, variant, lasts):
    rows = [row(f"fragile@{variant}", Fragile, variant)]
    failures = complete(tmp_path, drivers, rows)
    assert len(failures) == 2
    assert finished(tmp_path, drivers, rows) == (failures if lasts else None)


def test_a_run_whose_metric_failed_is_not_finished(tmp_path, drivers):
    complete(tmp_path, drivers, metrics=(Faulty, Difference))
    assert finished(tmp_path, drivers, metrics=(Faulty, Difference)) is None


def test_a_metric_with_files_of_its_own_is_looked_up_again(tmp_path, drivers, monkeypatch):
    monkeypatch.setattr(Difference, "sources", lambda self, cell, output: [], raising=False)
    complete(tmp_path, drivers)
    assert finished(tmp_path, drivers) is None


def test_another_run_shares_the_store(tmp_path, drivers, log):
    make_run(tmp_path, drivers).complete()
    other = make_run(tmp_path, drivers, folder="other")
    other.complete()
    assert other.changed
    assert len(log()) == 6
    picture = "cells/shift/d0__t0/frames/00000.png"
    assert (tmp_path / "run" / picture).samefile(tmp_path / "other" / picture)
    assert (tmp_path / "run" / "scores.csv").read_text() == (other.folder / "scores.csv").read_text()


@pytest.mark.parametrize("where", ["both", "run"])
def test_altered_frames_are_found_and_made_again(tmp_path, drivers, log, where):
    run = make_run(tmp_path, drivers)
    run.complete()
    picture = run.folder / "cells/shift/d1__t0/frames/00001.png"
    good = picture.read_bytes()
    if where == "run":  # as an editor saves it: a new file with the old name
        picture.unlink()
    picture.write_bytes(good[:-30] + b"\0" * 30)
    others = {path: stamp for path, stamp in stamps(run.folder / "cells").items() if "d1__t0" not in str(path)}
    again = make_run(tmp_path, drivers)
    again.complete()
    assert again.changed
    assert picture.read_bytes() == good
    assert log().count("d1 t0") == (2 if where == "both" else 1)
    assert others.items() <= stamps(run.folder / "cells").items()


def test_results_do_not_depend_on_workers_or_order(tmp_path, drivers, in_worker_processes):
    rows = [row("shift"), row("shift:by=2", by="2")]
    one = make_run(tmp_path / "a", drivers, rows)
    many = make_run(tmp_path / "b", drivers, rows[::-1], workers=2, cells=one.cells[::-1])
    one.complete()
    many.complete()
    order = ["method", "scope", "group", "driver", "template", "figure"]
    tables = [scores(run).sort_values(order).reset_index(drop=True) for run in (one, many)]
    pd.testing.assert_frame_equal(*tables)


class FromFiles(Fragile):
    """A method with files: its mark lists the cells passed to it, and some of its files match none of them."""

    name = "from_files"

    def marks_on(self, cells):
        return {"counted": " ".join(cell.name for cell in cells)}

    def unused(self, cells):
        return [f"stray{number}.gif" for number in range(len(cells) + 1)]


def test_marks_are_those_of_the_cells_that_were_scored(tmp_path, drivers, capsys):
    run = make_run(tmp_path, drivers, [row("files", FromFiles, "short"), row()])
    run.complete()
    files, plain = json.loads((run.folder / "run.json").read_text())["methods"]
    scored = [cell.name for cell in run.cells if cell.driver.name != "d1"]
    assert files["marks"] == {"counted": " ".join(scored)}
    assert len(files["unused"]) == len(run.cells) + 1
    assert (plain["marks"], plain["unused"]) == ({}, [])
    assert (
        "Note: files: 7 files in its folder match no cell and are not scored: stray0.gif, " in capsys.readouterr().err
    )


REASONS = {
    "killed": "the worker process was killed by SIGKILL, perhaps because memory ran out",
    "hangs": "timed out after 3 s (--cell-timeout)",
    "exits": "the worker process ended with exit code 3",
    "raises": "RuntimeError: first line",
    "short": "fragile@short returned 2 frames, but the driver has 3",
    "floats": "Output of fragile@floats: frames must be uint8, got float64.",
}


@pytest.mark.parametrize("variants", [("killed", "exits", "hangs"), ("raises", "short", "floats")])
def test_failing_cells_cost_only_themselves(tmp_path, drivers, monkeypatch, variants):
    if "killed" in variants:
        monkeypatch.undo()  # work in separate processes
    rows = [row(f"fragile@{variant}", Fragile, variant) for variant in variants]
    limit_s = 3 if "hangs" in variants else 600
    run = make_run(tmp_path, drivers, [*rows, row("unready", Unready), row()], limit_s=limit_s)
    failures = run.complete()
    expected = [f"fragile@{variant} on d1__t{t}: {REASONS[variant]}" for variant in variants for t in range(2)]
    unready = [f"unready on d{d}__t{t}: FileNotFoundError: no weights here" for d in range(3) for t in range(2)]
    assert failures == expected + unready
    table = scores(run)
    failed = table[(table["scope"] == "cell") & (table["status"] == "failed")]
    assert len(failed) == len(failures)
    assert failed["value"].isna().all()
    summed = table[table["scope"] == "all"].set_index("method")["n_scored"].to_dict()
    assert summed == {**{f"fragile@{variant}": 4 for variant in variants}, "unready": 0, "shift": 6}


def test_crashes_are_tried_again_and_lasting_failures_are_not(tmp_path, drivers, log):
    make_run(tmp_path, drivers, [row("fragile", Fragile, "short")]).complete()
    done = len(log())
    make_run(tmp_path, drivers, [row("fragile", Fragile, "short")]).complete()
    assert len(log()) == done
    crashing = make_run(tmp_path, drivers, [row("fragile", Fragile, "raises")], folder="b")
    crashing.complete()
    assert [job.cell.name for job in crashing.missing()] == ["d1__t0", "d1__t1"]


def test_a_faulty_metric_is_absent_not_zero(tmp_path, drivers):
    run = make_run(tmp_path, drivers, metrics=(Faulty, Difference))
    failures = run.complete()
    assert failures == [
        f"faulty of shift on d1__t{t}: faulty failed with ZeroDivisionError: nothing to divide by" for t in range(2)
    ]
    table = scores(run)
    faulty = table[(table["metric"] == "faulty") & (table["scope"] == "cell")].set_index("driver")
    assert faulty.loc[["d1", "d2"], "value"].isna().all()
    assert faulty.loc["d2", "reason"].iloc[0] == "not a finite number"
    assert faulty.loc["d0", "value"].notna().all()
    assert table[(table["metric"] == "difference")]["value"].notna().all()


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Return a function that lists the cells that Counted has measured. Counted keeps its files in the same folder."""
    monkeypatch.setenv("MEASURED_LOG", str(tmp_path / "measured.txt"))
    return lambda: (tmp_path / "measured.txt").read_text().splitlines()


def test_a_metric_added_to_a_finished_run_is_measured_alone(tmp_path, drivers, log, measured):
    make_run(tmp_path, drivers, metrics=(Counted,)).complete()
    assert len(measured()) == 6
    both = make_run(tmp_path, drivers, metrics=(Counted, Difference))
    both.complete()
    assert len(measured()) == 6
    assert len(log()) == 6
    assert set(scores(both)["metric"]) == {"counted", "difference"}
    (tmp_path / "d1__t0.npz").unlink()  # the files of metrics that compare sets may be deleted with the store
    make_run(tmp_path, drivers, metrics=(Counted, Difference)).complete()
    assert measured()[6:] == ["d1__t0"]


def test_a_metric_without_its_weights_is_unavailable_and_the_run_goes_on(tmp_path, drivers, monkeypatch):
    monkeypatch.chdir(tmp_path)  # hides weights downloaded into the checkout
    for variable in ("MEGBENCH_WEIGHTS", "TORCH_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "nothing"))
    run = make_run(tmp_path, drivers, metrics=(Needy, Difference))
    assert run.complete() == []
    table = scores(run)
    needy = table[(table["metric"] == "needy") & (table["scope"] == "cell")]
    assert set(needy["status"]) == {"unavailable"}
    assert needy["reason"].str.contains("bench.py weights fetch lpips", regex=False).all()
    assert table[table["metric"] == "difference"]["value"].notna().all()
    again = make_run(tmp_path, drivers, metrics=(Needy, Difference))
    again.complete()
    assert not again.changed


def test_a_driver_with_a_problem_fails_its_cells_only(tmp_path, drivers, log):
    cells = Fakes(tmp_path, drivers).cells()
    bad = dataclasses.replace(cells[0].driver, problem="no face in d0", n_frames=0)
    cells[:2] = [dataclasses.replace(cell, driver=bad, reference=bad) for cell in cells[:2]]
    run = make_run(tmp_path, drivers, cells=cells)
    assert run.complete() == ["d0__t0: no face in d0", "d0__t1: no face in d0"]
    assert len(log()) == 4


def test_a_cell_without_a_foil_lacks_wrong_driver_and_is_no_failure(tmp_path, drivers):
    run = make_run(tmp_path, drivers, [row(), row("wrong_driver", WrongDriver)])
    assert run.complete() == []
    table = scores(run)
    lacking = table[(table["method"] == "wrong_driver") & (table["scope"] == "cell")]
    assert lacking["value"].isna().all()
    assert lacking["reason"].str.contains("no foil").all()


def test_rows_and_cells_no_longer_asked_for_leave_the_folder(tmp_path, drivers):
    make_run(tmp_path, drivers, [row(), row("shift:by=2", by="2")]).complete()
    smaller = make_run(tmp_path, drivers, cells=Fakes(tmp_path, drivers).cells()[:2])
    smaller.complete()
    assert smaller.changed
    assert [path.name for path in (tmp_path / "run" / "cells").iterdir()] == ["shift"]
    assert len(list((tmp_path / "run" / "cells" / "shift").iterdir())) == 2


def test_keys_follow_everything_that_decides_the_frames(tmp_path, drivers):
    cells = Fakes(tmp_path, drivers).cells()
    settings = Settings(tmp_path, "cpu", 0, 1)
    control = dataclasses.replace(row(), is_control=True)
    foiled = dataclasses.replace(cells[0], foil=cells[2].driver)
    brighter = Template.of("t0", "t0", np.clip(cells[0].template.image, 1, 255))
    keys = [
        cell_key(row(), cells[0], "1", settings),
        cell_key(row(), cells[0], "2", settings),
        cell_key(row(by="2"), cells[0], "1", settings),
        cell_key(row(), cells[1], "1", settings),
        cell_key(row(), dataclasses.replace(cells[0], template=brighter), "1", settings),
        cell_key(row(), cells[0], "1", dataclasses.replace(settings, seed=1)),
        cell_key(row(), cells[0], "1", dataclasses.replace(settings, device="cuda")),
        cell_key(control, cells[0], "1", settings),
        cell_key(control, foiled, "1", settings),
    ]
    assert len(set(keys)) == len(keys)
    more_workers = dataclasses.replace(settings, workers=9, store=tmp_path / "elsewhere")
    assert cell_key(row(), foiled, "1", more_workers) == keys[0]


def test_cells_of_one_name_are_an_error(tmp_path, drivers):
    cells = Fakes(tmp_path, drivers).cells()
    with pytest.raises(BenchError, match="Several cells have the name 'd0__t0'"):
        plan([row()], [*cells, dataclasses.replace(cells[0])], "1", Settings(tmp_path, "cpu", 0, 1))
