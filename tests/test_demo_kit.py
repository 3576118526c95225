"""The demo protocol with pictures like those of published kits, compared with measurements of a real kit."""

import functools

import cv2
import numpy as np
import pytest

from megbench.clips.synthetic.degraded import UNHARMED
from megbench.clips.synthetic.exact_frames import expression, least_jacobian, plan
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.render import Actor
from megbench.core.errors import BenchError
from megbench.faces.regions import face_regions
from megbench.protocols import demo, make
from megbench.protocols.demo_kit import SHEET, DemoKit
from megbench.taught.people import PORTRAIT as TRAINED_ON
from tests.test_demo import units

# Measurements of the official MEGC2021 kit over complete frames: luma, variance of the Laplacian, red minus green,
# median and 20th percentile of the temporal noise. Each pair is the lowest and the highest value of three drivers, for
# CASME II, SAMM and SMIC.
REAL = {
    "colour200": ((91, 120), (69, 119), (26, 36), (1.7, 1.8), (1.3, 1.5)),
    "grey200": ((110, 162), (82, 121), (0, 0), (1.7, 2.1), (1.3, 1.7)),
    "enlarged100": ((78, 87), (39, 71), (20, 25), (1.4, 1.6), (0.75, 0.9)),
}
# The same figures for both templates, without noise.
REAL_TEMPLATES = {"dim": (91, (19, 26), 49), "bright": (148, (19, 26), 31)}
# Peak motion of micro-expressions in frame pixels, averaged over the region that moves most: the range over all
# drivers, and the median.
PEAKS, MEDIAN = (0.3, 1.5), 0.7
FRAMES = 40
INDEX = {driver.name: index for index, driver in enumerate(SHEET.drivers)}
DRIVERS = pytest.mark.parametrize("driver", SHEET.drivers, ids=lambda driver: driver.name)


@functools.cache
def actor(role):
    return Actor(role.person())


@functools.cache
def at_rest(role):
    return actor(role).shoot(np.zeros((256, 256, 2), np.float32)).frame


def looks(frames):
    """Return luma, Laplacian variance and red minus green of the first of (T, 256, 256, 3) frames, and the noise."""
    luma = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    noise = np.diff(luma.astype(np.float32), axis=0).std(0) / np.sqrt(2)
    red, green, _ = frames[0].reshape(-1, 3).mean(0)
    sharpness = cv2.Laplacian(luma[0], cv2.CV_64F).var()
    return luma[0].mean(), sharpness, red - green, np.median(noise), np.percentile(noise, 20)


@DRIVERS
def test_drivers_look_as_a_real_kits(driver, tmp_path):
    scene = DemoKit(tmp_path)._driver(INDEX[driver.name])
    still = np.repeat(at_rest(scene.role)[None], FRAMES, axis=0)
    found = looks(scene.camera.record(still, np.random.default_rng(1)))
    for value, (least, most) in zip(found, REAL[driver.style], strict=True):
        assert least <= value <= most


@pytest.mark.parametrize("name", REAL_TEMPLATES)
def test_templates_look_as_a_real_kits(name, tmp_path):
    role = DemoKit(tmp_path).templates[name]
    luma, sharpness, red, *_ = looks(np.repeat(at_rest(role)[None], 2, axis=0))
    real_luma, (least, most), real_red = REAL_TEMPLATES[name]
    assert luma == pytest.approx(real_luma, abs=2)
    assert red == pytest.approx(real_red, abs=2)
    assert least <= sharpness <= most


def test_motion_is_that_of_micro_expressions_and_nothing_folds():
    peaks = []
    for driver in SHEET.drivers:
        person = actor(Role(SHEET.portrait, SHEET.series, driver.number))
        known = plan(person, driver.performance())
        masks = face_regions(person.person.face.landmarks).masks
        flows = [expression(at, known) for at in known.au_intensity[::2]]
        peaks.append(max(np.linalg.norm(flow[mask].mean(0)) for flow in flows for mask in masks))
        assert least_jacobian(known) > 0.3
    assert PEAKS[0] <= min(peaks)
    assert max(peaks) <= PEAKS[1]
    assert np.median(peaks) == pytest.approx(MEDIAN, abs=0.05)


def test_nobody_was_seen_in_training_or_is_in_the_demo():
    people = [(SHEET.portrait, driver.number) for driver in SHEET.drivers]
    people += [(face.portrait, face.number) for face in SHEET.templates]
    assert len(set(people)) == len(people) == 11
    assert TRAINED_ON not in {portrait for portrait, _ in people}
    assert SHEET.series != demo.SHEET.series
    manners = [driver.manner for sheet in (SHEET, demo.SHEET) for driver in sheet.drivers]
    assert len(set(manners)) == len(manners) == 18


@DRIVERS
def test_clips_begin_neutral_and_are_not_their_own_reverse_and_foils_move_other_units(driver):
    intensity = driver.performance().intensity(np.arange(driver.frames, dtype=np.float64))
    assert not intensity[:2].any()
    assert (intensity * intensity[::-1]).sum() / (intensity**2).sum() < 0.6
    onset, apex, offset = driver.performance().phases()
    assert 0 < onset < apex < offset < driver.frames
    assert not units(driver) & units(SHEET.drivers[INDEX[driver.foil]])


def test_three_emotions_in_each_style():
    for style in SHEET.styles:
        found = sorted(driver.emotion for driver in SHEET.drivers if driver.style == style)
        assert found == ["negative", "positive", "surprise"]


def test_cells_have_soft_pictures_and_know_their_answers(tmp_path, monkeypatch):
    keys = {"units": {"AU12": ((2, 0.0), (4, 0.4)), "AU06": ((3, 0.0), (5, 0.3))}, "frames": 6}
    first = SHEET.drivers[INDEX["grey200_positive"]].model_copy(update={**keys, "foil": "enlarged100_surprise"})
    second = SHEET.drivers[INDEX["enlarged100_surprise"]].model_copy(update={"frames": 5, "foil": first.name})
    small = SHEET.model_copy(update={"drivers": (first, second), "templates": SHEET.templates[:1]})
    monkeypatch.setattr(DemoKit, "sheet", small)
    protocol = DemoKit(tmp_path)
    cells = protocol.cells()
    assert [cell.name for cell in cells] == ["grey200_positive__dim", "enlarged100_surprise__dim"]
    assert {cell.protocol for cell in cells} == {"demo_kit"}
    for cell in cells:
        driver, again, truth = cell.driver.known(), cell.reference.known(), cell.truth.known()
        assert np.array_equal(driver.bases, again.bases)
        assert np.array_equal(driver.au_intensity, truth.au_intensity)
        assert not np.array_equal(cell.driver.frames(), cell.reference.frames()), "another draw of the noise"
        assert np.array_equal(cell.truth.frames()[0], cell.template.image)
        assert cell.driver.action_units
    assert np.array_equal(protocol.answer(cells[0]).frames(UNHARMED), cells[0].truth.frames())
    assert np.ptp(cells[0].driver.frames(), axis=-1).max() == 0
    assert np.ptp(cells[1].driver.frames(), axis=-1).max() > 20


def test_it_takes_no_portraits_of_ones_own(tmp_path):
    with pytest.raises(
        BenchError, match=r"'demo_kit' takes no --portraits\. Leave it out; this protocol takes no folders"
    ):
        make("demo_kit", DemoKit, tmp_path, {"portraits": tmp_path})
