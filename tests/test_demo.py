"""The demo protocol: its data file is as documented, and its cells have their ground truth."""

import functools
import re
import shutil
from collections import Counter

import numpy as np
import pytest

from megbench.clips.portraits import portrait_path
from megbench.clips.synthetic import rendered_clips
from megbench.clips.synthetic.exact_frames import expression, plan
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.render import Actor
from megbench.core.errors import BenchError
from megbench.faces.facs import cap
from megbench.faces.field import jacobian_determinant
from megbench.protocols import demo
from megbench.protocols.demo import SHEET, Demo

DRIVERS = {driver.name: driver for driver in SHEET.drivers}
# AU14 and AU20 move the same skin.
SAME = {"AU20": "AU14"}


def units(driver: demo.Driver) -> set[str]:
    return {SAME.get(unit, unit) for unit in driver.units}


def test_nine_drivers_three_emotions_in_three_styles():
    assert Counter((driver.emotion, driver.style) for driver in SHEET.drivers) == Counter(
        {(emotion, style): 1 for emotion in ("negative", "positive", "surprise") for style in SHEET.styles}
    )
    assert len(SHEET.templates) == 2
    assert all(32 <= driver.frames <= 48 for driver in SHEET.drivers)


def test_code_that_changes_while_clips_are_rendered_is_one_line(tmp_path, monkeypatch):
    """Processes with the new code store the clips under other keys than this process expects."""
    monkeypatch.setattr(rendered_clips, "in_parallel", lambda *_, **__: [])
    with pytest.raises(BenchError, match=r"^The suite's code changed during the run .* Run the same"):
        Demo(tmp_path).few()


def test_what_must_be_rendered_is_announced(tmp_path, monkeypatch, capsys):
    def shot(scenes, cache, workers):
        for scene in scenes[:-1]:
            for take in range(scene.takes):
                (cache / scene.key(take)).mkdir(parents=True, exist_ok=True)
                (cache / scene.key(take) / "clip.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "shoot", shot)
    for told in (r"rendered first: 27 scenes, about \d+ s on an", r"rendered first: 1 scene, about \d+ s on an"):
        with pytest.raises(KeyboardInterrupt):
            Demo(tmp_path, workers=2).cells()
        assert re.search(f"^Note: the clips of demo must be {told} otherwise idle machine", capsys.readouterr().err)


def test_everybody_is_somebody_else():
    people = [(SHEET.portrait, driver.number) for driver in SHEET.drivers]
    people += [(template.portrait, template.number) for template in SHEET.templates]
    assert len(set(people)) == len(people) == 11
    assert len({driver.manner for driver in SHEET.drivers}) == 9


@functools.cache
def actor(portrait, series, number):
    return Actor(Role(portrait, series, number).person())


@pytest.mark.parametrize("driver", SHEET.drivers, ids=lambda driver: driver.name)
def test_clips_begin_neutral_keep_to_the_caps_and_are_not_their_own_reverse(driver):
    performance = driver.performance()
    intensity = performance.intensity(np.arange(driver.frames, dtype=np.float64))
    assert not intensity[:2].any()
    assert all(peak <= cap(unit) for unit, peak in zip(performance.units, intensity.max(0), strict=True))
    assert intensity.max() > 0.5
    alike = (intensity * intensity[::-1]).sum() / (intensity**2).sum()
    assert alike < 0.6
    apex = performance.phases()[1]
    ramp = np.interp(np.arange(driver.frames), [0, apex, driver.frames - 1], [0, 1, 0])
    at_apex = np.outer(ramp, intensity[apex])
    cosine = (at_apex * intensity).sum() / np.linalg.norm(at_apex) / np.linalg.norm(intensity)
    assert cosine < 0.9


@pytest.mark.parametrize("driver", SHEET.drivers, ids=lambda driver: driver.name)
def test_foils_move_something_else(driver):
    foil = DRIVERS[driver.foil]
    assert not units(driver) & units(foil)
    moves = []
    for one in (driver, foil):
        performance = one.performance()
        intensity = performance.intensity(np.arange(one.frames, dtype=np.float64))
        neutral = actor("astronaut", "test", 4)
        moves.append(np.tensordot(intensity.mean(0), plan(neutral, performance).bases.astype(np.float64), axes=1))
    cosine = (moves[0] * moves[1]).sum() / np.linalg.norm(moves[0]) / np.linalg.norm(moves[1])
    assert abs(cosine) < 0.3


@pytest.mark.parametrize("role", ["driver", *(template.name for template in SHEET.templates)])
def test_nothing_folds_when_units_are_strongest(role):
    faces = {template.name: (template.portrait, template.number) for template in SHEET.templates}
    for driver in SHEET.drivers:
        portrait, number = faces.get(role, (SHEET.portrait, driver.number))
        known = plan(actor(portrait, SHEET.series, number), driver.performance())
        for frame in {int(known.au_intensity.sum(1).argmax()), *known.au_intensity.argmax(0).tolist()}:
            assert jacobian_determinant(expression(known.au_intensity[frame], known)).min() > 0.3, driver.name


@pytest.fixture(scope="module")
def small() -> demo.DemoSheet:
    """Return a sheet of two drivers, each a few frames long, with one template."""
    keys = {"units": {"AU12": ((2, 0.0), (4, 0.8)), "AU06": ((3, 0.0), (5, 0.6))}, "frames": 6}
    first = DRIVERS["grey200_positive"].model_copy(update={**keys, "foil": "colour100_surprise"})
    second = DRIVERS["colour100_surprise"].model_copy(update={"frames": 5, "foil": "grey200_positive"})
    return SHEET.model_copy(update={"drivers": (first, second), "templates": SHEET.templates[:1]})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def cells(small, cache, monkeypatch):
    monkeypatch.setattr(Demo, "sheet", small)
    return Demo(cache).cells()


def test_cells_know_their_answers(cells):
    assert [cell.name for cell in cells] == ["grey200_positive__collins", "colour100_surprise__collins"]
    for cell, other in zip(cells, reversed(cells), strict=True):
        driver, again, truth = cell.driver.known(), cell.reference.known(), cell.truth.known()
        assert np.array_equal(driver.bases, again.bases)
        assert np.array_equal(driver.au_intensity, truth.au_intensity)
        assert not np.array_equal(driver.bases, truth.bases)
        assert cell.foil == other.driver
        assert cell.driver.rendered
        assert cell.truth.n_frames == cell.driver.n_frames == len(cell.driver.frames())
        assert np.array_equal(cell.truth.frames()[0], cell.template.image)
        noise = cell.driver.frames().astype(float) - cell.reference.frames()
        assert noise.std() == pytest.approx(2 * 2**0.5, rel=0.1)
    assert np.ptp(cells[0].driver.frames(), axis=-1).max() == 0
    assert np.ptp(cells[1].driver.frames(), axis=-1).max() > 20


def test_a_second_call_renders_nothing_and_another_renderer_everything(cells, small, cache, monkeypatch):
    monkeypatch.setattr(Demo, "sheet", small)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr(rendered_clips, "in_parallel", refuse)
    again = Demo(cache).cells()
    assert [(cell.driver, cell.truth) for cell in again] == [(cell.driver, cell.truth) for cell in cells]
    monkeypatch.setattr(rendered_clips, "recipe", lambda _: "another")
    with pytest.raises(AssertionError, match="rendered again"):
        Demo(cache).cells()


def test_own_portraits_become_templates_as_they_are_and_drivers(small, tmp_path, monkeypatch):
    monkeypatch.setattr(Demo, "sheet", small.model_copy(update={"drivers": small.drivers[:1]}))
    folder = tmp_path / "portraits"
    folder.mkdir()
    shutil.copy(portrait_path("hopper"), folder / "grace.jpg")
    protocol = Demo(tmp_path / "clips", folder)
    assert list(protocol.templates) == ["grace"]
    assert protocol._driver(0).role.portrait == str(folder / "grace.jpg")
    assert protocol._driver(0).role.number is not None
    assert protocol.templates["grace"].number is None
    assert protocol.templates["grace"].person().texture.shape == (512, 512, 3)
