"""Remarks in words about a cell: each rule applies where it should and nowhere else."""

import numpy as np
import pytest

from megbench.reports.remarks import motion_share, read_cell
from tests.report_fixture import KNOWN

BUMP = np.sin(np.pi * np.arange(40) / 39)
DRIVER = {"brows": 3 * BUMP, "mouth": 0.3 * BUMP, "head": BUMP}
GOOD = {"agreement": 0.95, "gain": 1.0, "error": 0.2, "identity_distance": 0.2, "sharpness_truth": 0.95}


def words(figures=GOOD, output=DRIVER, driver=DRIVER):
    return " ".join(remark.text for remark in read_cell(figures, KNOWN, driver, output))


@pytest.mark.parametrize(("angle", "strength"), [(0.0, 1.0), (0.3, 0.5), (1.4, 2.0), (3.0, 0.1)])
def test_share_of_motion_follows_from_gain_and_error(angle, strength):
    driver = np.array([1.0, 0.0])
    output = strength * np.array([np.cos(angle), np.sin(angle)])
    gain, error = float(output @ driver), float(np.linalg.norm(output - driver))
    assert motion_share({"gain": gain, "error": error}) == pytest.approx(strength)


def test_a_good_output_gets_one_good_sentence():
    (remark,) = read_cell(GOOD, KNOWN, DRIVER, DRIVER)
    assert remark.text == "Moves as the driver does."
    assert remark.grade == "good"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"agreement": 0.0, "gain": 0.0, "error": 1.0}, "Hardly moves: gain 0.00."),
        ({"gain": 0.4, "error": 0.62}, "Too weak: gain 0.40."),
        ({"agreement": 0.29, "gain": 0.23, "error": 1.09}, "Too weak: gain 0.23."),  # 80 % of the motion, misplaced
        ({"gain": 2.0, "error": 1.1}, "Too strong: gain 2.00."),
        ({"agreement": -0.1, "gain": -0.05, "error": 1.2}, "none of the driver's motion: gain -0.05."),
        ({"agreement": 0.75}, "mostly"),
        ({"agreement": 0.5}, "only partly"),
        ({"agreement": 0.3}, "little like"),
        ({"agreement": 0.0, "gain": 0.0, "error": 1.4}, "unlike the driver"),
        ({"agreement": -0.6, "gain": -0.6, "error": 1.8}, "against the driver"),
        ({"identity_distance": 0.7}, "Another person"),
        ({"identity_distance": 0.5}, "identity drifts"),
        ({"sharpness_truth": 0.4}, "Soft: 40% of the truth's"),
        ({"sharpness_truth": None, "sharpness_template": 0.4}, "Soft: 40% of the template's"),
        ({"sharpness_truth": 2.0}, "over-sharp"),
    ],
)
def test_each_fault_has_its_sentence(change, sentence):
    assert sentence in words(GOOD | change)


@pytest.mark.parametrize(
    ("template", "driver", "sentence"),
    [
        (9.13, 2.01, "Grainy or over-sharp: 201% of the driver's sharpness, of which the template itself has 22%."),
        (9.13, 0.9, ""),  # nine times as sharp as a template enlarged from 128 pixels, but no sharper than its driver
        (1.0, 0.22, ""),  # keeps the template's sharpness
        (0.5, 0.11, "Soft: 11% of the driver's sharpness, of which the template itself has 22%."),
        (0.5, 1.0, ""),  # a grainy template
    ],
)
def test_sharpness_is_read_beside_template_and_driver(template, driver, sentence):
    figures = {"sharpness_truth": None, "sharpness_template": template, "sharpness_driver": driver}
    assert words(GOOD | figures) == f"Moves as the driver does. {sentence}".rstrip()


def test_missing_and_needless_regions_are_named():
    swapped = {"brows": 0.3 * BUMP, "mouth": 3 * BUMP, "head": BUMP}
    assert "Missing: brows." in words(output=swapped)
    assert "Moves needlessly: mouth." in words(output=swapped)


def test_every_weak_or_false_region_is_named():
    driver = dict.fromkeys(("brows", "eyes", "nose", "cheeks"), 3 * BUMP) | {"mouth": 0.1 * BUMP}
    output = {"brows": 1.5 * BUMP, "eyes": 1.6 * BUMP, "nose": 0.5 * BUMP, "cheeks": 3 * BUMP, "mouth": BUMP}
    found = words(GOOD | {"agreement_cheeks": 0.1, "agreement_nose": 0.1, "agreement_mouth": 0.0}, output, driver)
    assert "Missing: nose. Weak: brows, eyes. Unlike the driver: cheeks. Moves needlessly: mouth." in found
    assert "Too strong in: brows." in words(output=DRIVER | {"brows": 6 * BUMP})


def test_a_late_peak_is_named_but_a_plateau_is_not():
    late = DRIVER | {"brows": np.roll(3 * BUMP, 12)}
    assert "The brows peak 12 frames too late." in words(output=late)
    plateau = np.clip(4 * BUMP, 0, 3) + np.linspace(0, 0.1, 40)
    assert "peak" not in words(output=DRIVER | {"brows": plateau})


def test_absent_figures_give_no_words():
    assert read_cell({}, KNOWN, {}, {}) == []
    assert read_cell(dict.fromkeys(GOOD), KNOWN, DRIVER, DRIVER) == []
    assert words(output={}, driver={}) == "Moves as the driver does."


def test_a_driver_at_rest_is_no_error():
    rest = {"brows": np.zeros(5), "mouth": np.zeros(5)}
    assert words(driver=rest, output={"brows": np.zeros(5), "mouth": BUMP[:5]}) == "Moves as the driver does."
