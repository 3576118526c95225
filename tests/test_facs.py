"""The FACS basis: every unit moves as the manual describes, and nothing folds within the caps."""

import numpy as np
import pytest

from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.personal_basis import personal_basis
from megbench.clips.synthetic.render import Actor
from megbench.faces.facs import ACTION_UNITS, MICRO, TABLE, basis, cap
from megbench.faces.field import jacobian_determinant
from megbench.faces.mesh import IRISES, canonical, mirror_order

BASIS = dict(zip(ACTION_UNITS, basis(), strict=True))
INNER_BROW, OUTER_BROW, UPPER_LID, LOWER_LID, CHEEK = 336, 300, 386, 374, 280
NOSE_WING, UPPER_LIP, LOWER_LIP, CORNER, CHIN = 358, 0, 17, 291, 152
UP, DOWN, OUT, IN = (1, -1), (1, 1), (0, 1), (0, -1)  # axis and sign on the person's left
MANUAL = [
    ("AU01", INNER_BROW, UP),
    ("AU02", OUTER_BROW, UP),
    ("AU04", INNER_BROW, DOWN),
    ("AU04", INNER_BROW, IN),
    ("AU05", UPPER_LID, UP),
    ("AU06", CHEEK, UP),
    ("AU07", LOWER_LID, UP),
    ("AU09", NOSE_WING, UP),
    ("AU10", UPPER_LIP, UP),
    ("AU12", CORNER, UP),
    ("AU12", CORNER, OUT),
    ("AU14", CORNER, OUT),
    ("AU15", CORNER, DOWN),
    ("AU17", LOWER_LIP, UP),
    ("AU20", CORNER, OUT),
    ("AU23", UPPER_LIP, DOWN),
    ("AU23", LOWER_LIP, UP),
    ("AU23", CORNER, IN),
    ("AU24", UPPER_LIP, DOWN),
    ("AU24", LOWER_LIP, UP),
    ("AU25", LOWER_LIP, DOWN),
    ("AU26", CHIN, DOWN),
    ("AU43", UPPER_LID, DOWN),
]


@pytest.mark.parametrize(("unit", "vertex", "direction"), MANUAL)
def test_units_move_what_the_manual_says(unit, vertex, direction):
    axis, sign = direction
    assert sign * BASIS[unit][vertex, axis] > 0.2


def test_all_units_have_unit_peak_and_leave_the_irises():
    assert len(ACTION_UNITS) == 18
    for unit, moved in BASIS.items():
        assert np.linalg.norm(moved, axis=1).max() == pytest.approx(1), unit
        assert not moved[IRISES].any(), unit


@pytest.mark.parametrize("unit", ACTION_UNITS)
def test_units_are_symmetrical(unit):
    moved = BASIS[unit]
    assert np.abs(moved[mirror_order()] * [-1, 1] - moved).max() < 1e-6


@pytest.mark.parametrize(
    ("units", "quiet"),
    [
        (("AU01", "AU02", "AU04", "AU05", "AU43"), canonical()[:, 1] > 0.45),
        (("AU12", "AU14", "AU15", "AU17", "AU20", "AU23", "AU24", "AU25", "AU26"), canonical()[:, 1] < 0.05),
    ],
)
def test_brows_do_not_move_the_mouth_nor_the_mouth_the_brows(units, quiet):
    for unit in units:
        assert np.linalg.norm(BASIS[unit][quiet], axis=1).max() < 0.06, unit


@pytest.fixture(
    scope="module", params=[Role("astronaut", "demo", 77), Role("hopper", "demo", 15)], ids=lambda r: r.portrait
)
def actor(request) -> Actor:
    return Actor(request.param.person())


def test_no_unit_folds_a_face_within_its_cap(actor):
    for unit, moved in BASIS.items():
        flow = actor.move(moved * MICRO * cap(unit))
        assert jacobian_determinant(flow).min() > 0.3, unit
        assert np.linalg.norm(flow, axis=-1).max() < 1.05 * MICRO * actor.person.face.eye_distance, unit


def test_people_differ_in_strength_direction_and_sides_but_stay_themselves():
    one, again, other = (personal_basis(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)
    for unit, mine, common in zip(ACTION_UNITS, one, basis(), strict=True):
        cosine = (mine * common).sum() / np.linalg.norm(mine) / np.linalg.norm(common)
        assert cosine > 0.85, unit
    assert np.abs(one[:, mirror_order()] * [-1, 1] - one).max() > 0.02


def test_every_row_of_the_table_names_a_unit():
    assert {row.unit for row in TABLE} == set(ACTION_UNITS)
