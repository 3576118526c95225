"""Action units read from flow, and the figures computed from any detector's tracks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.exact_frames import film
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.performance import Performance, Track
from megbench.clips.synthetic.render import Actor
from megbench.core.clip import KnownMotion
from megbench.core.errors import CellFailed
from megbench.core.frames import Frames, content_hash
from megbench.faces.action_units import LIDS, NOISE_FLOOR, READ, UNITS
from megbench.faces.facs import ACTION_UNITS
from megbench.faces.features import SeenClip
from megbench.metrics.au_scores import Detector, agreement, coded_hits, icc31, members

# Key frames of two staggered units each, in manners (personal bases) that no other clip uses.
SCENES = {
    901: {"AU04": ((1, 0), (5, 0.9), (11, 0.2)), "AU12": ((4, 0), (10, 0.9), (13, 0.6))},
    902: {"AU01": ((1, 0), (6, 0.9), (12, 0.1)), "AU17": ((5, 0), (11, 0.8), (13, 0.7))},
}


def filmed(manner: int, units: dict, frames: int = 14) -> tuple[Frames, KnownMotion]:
    """Film a rendered person moving `units` in a personal manner, with a small head motion and camera noise."""
    performance = Performance(tuple(Track(unit, keys) for unit, keys in units.items()), frames, manner, 0.8)
    pictures, known = film(Actor(Role("astronaut", "demo", 48).person()), performance, Camera())
    return Camera().record(pictures, np.random.default_rng(manner)), known


def seen(frames: Frames) -> SeenClip:
    return SeenClip("clip", lambda: frames, content_hash(frames), None)


@pytest.fixture(scope="module")
def clips() -> dict[int, tuple[Frames, KnownMotion]]:
    return {manner: filmed(manner, units) for manner, units in SCENES.items()}


def test_units_are_the_facs_units_with_the_confusable_ones_merged():
    assert sorted(unit for members in READ.values() for unit in members) == sorted(ACTION_UNITS)
    assert {"AU23+24", "AU14+20", *LIDS} <= set(UNITS)


def test_intensities_follow_the_truth_though_every_person_moves_in_their_own_way(clips):
    correlations = []
    for frames, known in clips.values():
        found = seen(frames).action_units
        assert found.shape == (len(frames), len(UNITS))
        assert (found >= 0).all()
        assert not found[0].any()
        correlations += [
            np.corrcoef(found[:, UNITS.index(unit)], known.au_intensity[:, k])[0, 1]
            for k, unit in enumerate(known.action_units)
        ]
    assert np.mean(correlations) >= 0.85
    assert min(correlations) > 0.7


def test_a_noisy_still_face_stays_under_the_floor(clips):
    first = clips[901][0][0].astype(float)
    noise = np.random.default_rng(3).normal(0, 2, (8, *first.shape))
    found = seen(np.clip(np.round(first + noise), 0, 255).astype(np.uint8)).action_units
    assert np.percentile(found[1:], 95) < NOISE_FLOOR
    still = seen(np.repeat(clips[901][0][:1], 4, axis=0)).action_units
    assert not still.any()


DETECTOR = Detector("test", "t", ("AU01", "AU04", "AU12", "AU14+20"), 0.1, 1, True)
BUMP = np.sin(np.linspace(0, np.pi, 12))


def tracks(*strengths: float) -> np.ndarray:
    """Return bumps of the given strengths, one per unit (12, 4)."""
    return BUMP[:, None] * np.array(strengths)


def test_a_copy_is_perfect_and_a_still_face_nothing():
    driver = tracks(0.8, 0.5, 0, 0)
    copy = agreement(driver, driver, 6, DETECTOR)
    assert (copy.cosine, copy.pcc, copy.mae, copy.track, copy.icc, copy.leakage) == pytest.approx((1, 1, 0, 1, 1, 0))
    assert copy.coverage == 1
    still = agreement(np.zeros_like(driver), driver, 6, DETECTOR)
    assert (still.cosine, still.leakage, still.coverage) == (0, 0, 0)
    assert still.track is None  # a constant track has no correlation: it counts towards the coverage, not as 0
    assert still.icc == pytest.approx(0)


def test_a_share_of_the_strongest_unit_is_what_a_weak_one_must_reach():
    driver = tracks(0.8, 0.2, 0, 0)
    assert agreement(driver, driver, 6, DETECTOR).moving.tolist() == [True, True, False, False]
    assert agreement(driver, driver, 6, replace(DETECTOR, share=0.4)).moving.tolist() == [True, False, False, False]


def test_what_a_driver_does_not_define_is_absent_not_0():
    moved, still = tracks(0.8, 0.5, 0, 0), tracks(0, 0, 0, 0)
    nothing = agreement(moved, still, 6, DETECTOR)
    assert (nothing.cosine, nothing.pcc, nothing.leakage, nothing.coverage) == (None, None, None, None)
    everywhere = tracks(0.8, 0.5, 0.4, 0.3)
    assert agreement(everywhere, everywhere, 6, DETECTOR).leakage is None  # no unit is still
    assert agreement(everywhere, everywhere, 6, DETECTOR).cosine == pytest.approx(1)


def test_half_the_strength_shows_in_size_not_in_direction():
    driver = tracks(0.8, 0.5, 0, 0)
    half = agreement(driver / 2, driver, 6, DETECTOR)
    assert half.cosine == pytest.approx(1)
    assert half.track == pytest.approx(1)
    assert half.mae > 0.1
    assert half.icc < 0.9


def test_a_leaked_unit_is_leakage_and_turns_the_vector():
    driver = tracks(0.8, 0, 0, 0)
    leaked = agreement(tracks(0.8, 0, 0.4, 0), driver, 6, DETECTOR)
    assert leaked.leakage == pytest.approx(0.5)
    assert leaked.cosine < 0.95
    assert leaked.lower is None  # nothing moves there in the driver
    assert leaked.upper == pytest.approx(1)


def test_frames_without_a_face_are_left_out_not_scored_as_zero():
    driver = tracks(0.8, 0.5, 0, 0)
    output = driver.copy()
    output[3:5] = np.nan
    assert agreement(output, driver, 6, DETECTOR).cosine == pytest.approx(1)
    output[2:] = np.nan
    with pytest.raises(CellFailed, match="needs at least 3 frames with a face, but found 2"):
        agreement(output, driver, 6, DETECTOR)


@pytest.mark.parametrize(
    ("coded", "hits"),
    [("1", 1), ("4", 0), ("1+4", 0.5), ("A1E+ref(20)", 1), ("1+L20", 0.5), ("9", None), (None, None), ("L14", 0)],
)
def test_coded_units_are_looked_for_among_the_strongest(coded, hits):
    assert coded_hits(tracks(0.8, 0.05, 0.4, 0.02), coded, DETECTOR) == hits


def test_a_column_may_stand_for_several_units():
    assert members("AU14+20") == {"AU14", "AU20"}
    assert members("AU04") == {"AU04"}


def test_icc_is_the_textbooks():
    """Shrout and Fleiss (1979) report ICC(3,1) = .71 for four judges; here their formula is used for the first two."""
    table = np.array([[9, 2], [6, 1], [8, 4], [7, 1], [10, 5], [6, 2]], float)
    rows, columns = table.mean(1), table.mean(0)
    between = 2 * ((rows - table.mean()) ** 2).sum() / 5
    residual = ((table - rows[:, None] - columns + table.mean()) ** 2).sum() / 5
    assert icc31(*table.T) == pytest.approx((between - residual) / (between + residual))
    assert icc31(BUMP, BUMP + 3) == pytest.approx(1)  # consistency: a shift does not matter
    assert icc31(np.ones(4), np.ones(4)) is None


values = arrays(np.float64, (6, 4), elements=st.floats(-1, 1).map(lambda value: round(value, 3)))


@given(output=values, other=values)
def test_every_figure_keeps_its_bounds(output, other):
    found = agreement(output, other, 3, DETECTOR)
    assert found.cosine is None or -1 <= found.cosine <= 1
    assert found.mae >= 0
    for value in (found.pcc, found.track, found.icc):
        assert value is None or -1 - 1e-9 <= value <= 1 + 1e-9
    assert found.coverage is None or 0 <= found.coverage <= 1
