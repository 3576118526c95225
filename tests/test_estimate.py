"""A dry run's time estimate depends on frames, is close to timed runs and improves with a store's records."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest

from megbench.core.weights.network_weights import read_card
from megbench.engine import estimate
from megbench.engine.estimate import PACE_S, Work, remember, work_left
from megbench.engine.runner import Settings
from megbench.engine.scoring import Scorer
from megbench.engine.speeds import keep_speeds, measuring
from megbench.methods import COMPANIONS
from megbench.methods.cards import demo_weights
from megbench.protocols.demo import SHEET


def cell(name, frames, template="t", truth=True):
    clip = SimpleNamespace(n_frames=frames, content=name)
    answer = SimpleNamespace(n_frames=frames, content=f"{name} on {template}") if truth else None
    return SimpleNamespace(name=f"{name}__{template}", driver=clip, truth=answer, problem="")


def jobs(rows, cells):
    """Return the jobs of every row on every cell; `rows` contains the rows' configs by name."""
    made = [
        SimpleNamespace(
            label=name, name=name, identity={"config": config}, is_control=name in COMPANIONS[1:], check=lambda _: None
        )
        for name, config in rows.items()
    ]
    return [SimpleNamespace(row=row, cell=one, key=f"{row.label} {one.name}") for row in made for one in cells]


def scorer(*names, store=Path("nowhere")):
    return Scorer([lambda name=name: SimpleNamespace(name=name) for name in names], None, store, 2)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(estimate, "usable", lambda: 2)
    return Settings(tmp_path, "cpu", 0, 2)


def total(work, settings, names=estimate.SCORED, pace_s=PACE_S):
    found = estimate.estimate(work, scorer(*names), settings, pace_s)
    return found.animate + found.measure + found.page, found.unknown


NETWORKS = ("fpfomm", "fomm", "mraa")


def config(name):
    return read_card(demo_weights(name))["config"] if name in NETWORKS else None


# Runs that were timed on two otherwise idle cores (docs/performance.md): rows, cells, seconds.
DEMO = [cell(driver.name, driver.frames, face.name) for driver in SHEET.drivers for face in SHEET.templates]
TIMED = {"the demo with three networks and all controls": ((*NETWORKS, *COMPANIONS), DEMO, 235)}


@pytest.mark.parametrize("what", TIMED)
def test_estimates_are_within_a_factor_of_two_of_what_runs_took(settings, what):
    rows, cells, seconds = TIMED[what]
    planned = jobs({name: config(name) for name in rows}, cells)
    found, unknown = total(work_left(Path("nowhere"), planned, planned, False), settings)
    assert seconds / 2 < found < seconds * 2
    assert not unknown


def test_an_estimate_grows_with_frames_and_the_machine_and_shrinks_with_workers(settings, monkeypatch):
    def of(frames, workers=2, pace_s=PACE_S):
        planned = jobs({"fomm": "published", "still": None}, [cell("d", frames)])
        work = work_left(Path("nowhere"), planned, planned, False)
        return total(work, dataclasses.replace(settings, workers=workers), pace_s=pace_s)[0]

    assert of(2000) == pytest.approx(2 * of(1000), rel=0.05)
    assert of(2000, pace_s=3 * PACE_S) == pytest.approx(3 * of(2000))
    assert of(2000, workers=1) == pytest.approx(2 * of(2000), rel=0.05)
    monkeypatch.setattr(estimate, "usable", lambda: 1)
    assert of(2000) == pytest.approx(of(2000, workers=1), rel=0.05), "more workers than processors gain nothing"


def test_wider_networks_take_longer_and_unknown_rows_and_metrics_are_named(settings):
    def of(name, shape, names=estimate.SCORED):
        planned = jobs({name: shape}, [cell("d", 1000)])
        return total(work_left(Path("nowhere"), planned, planned, False), settings, names)

    narrow, middle, wide = (of("fomm", {"generator": {"block_expansion": width}})[0] for width in (16, 32, 64))
    assert narrow < middle < wide == of("fomm", "published")[0]
    assert of("mine", None)[1] == ["mine"]
    assert of("still", None, (*estimate.SCORED, "mine"))[1] == ["mine"]


def test_what_the_store_knows_counts_instead(settings):
    planned = jobs({"mine": None}, [cell("d", 1000)])
    work = Work(planned, planned, 0)
    record = SimpleNamespace(status="ok", seconds=500.0, n_frames=1000)
    remember(planned, {planned[0].key: record}, settings)
    before, unknown = total(work, settings)
    assert not unknown
    assert before > 250
    keep_speeds(settings.store, {measuring(list(estimate.SCORED)): 2.0})
    assert total(work, settings)[0] > before + 900


def test_an_estimate_says_what_it_rests_on_until_it_is_timed_here(settings):
    planned = jobs({"fomm": "published", "still": None}, [cell("d", 1000)])
    work = Work(planned, planned, 0)

    def told():
        return estimate.outlook(work, scorer(*estimate.SCORED), settings).splitlines()

    first, basis = told()
    assert first.startswith("To animate: 2 cells; to measure: 2 outputs. About ")
    assert basis.startswith("Not yet timed here: fomm, still, measuring. ")
    assert estimate.MEASURED_ON in basis
    record = SimpleNamespace(status="ok", seconds=500.0, n_frames=1000)
    remember(planned[:1], {planned[0].key: record}, settings)
    assert told()[1].startswith("Not yet timed here: still, measuring. ")
    remember(planned, {job.key: record for job in planned}, settings)
    keep_speeds(settings.store, {measuring(list(estimate.SCORED)): 2.0})
    assert len(told()) == 1


def test_an_estimate_that_leaves_something_out_says_at_least(settings):
    planned = jobs({"mine": None}, [cell("d", 1000)])
    first, *basis = estimate.outlook(Work(planned, planned, 0), scorer(*estimate.SCORED), settings).splitlines()
    assert ". At least " in first
    assert basis[-1] == "Not included in the estimate, because not yet timed on this machine: mine"


def test_what_is_done_costs_nothing(tmp_path, settings):
    planned = jobs({"fomm": "published"}, [cell("a", 50), cell("b", 50)])
    for job in planned:
        (tmp_path / "partials" / "fomm").mkdir(parents=True, exist_ok=True)
        (tmp_path / "partials" / "fomm" / f"{job.cell.name}.json").touch()
    (tmp_path / "report.html").touch()
    assert total(work_left(tmp_path, planned, [], False), settings)[0] == 0
    again = work_left(tmp_path, planned, planned[:1], False)
    assert [job.cell.name for job in again.measure] == ["a__t"]
    assert again.page_frames == 2 * (50 + 50 + 50), "a driver, its truth and one row in each cell"
