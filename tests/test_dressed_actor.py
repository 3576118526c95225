"""Open mouths, lids and glasses, which the training set paints over rendered faces, change nothing else."""

import numpy as np
import pytest

from megbench.clips.synthetic import glasses, inner_mouth, lids
from megbench.clips.synthetic.render import AT_REST, Actor
from megbench.core.clip import pixel_grid
from megbench.faces import mesh
from megbench.faces.facs import ACTION_UNITS, MICRO, basis
from megbench.faces.field import SETTLED, invert, invert_steep, jacobian_determinant, sample
from megbench.faces.mesh import depth, mirror_order
from megbench.faces.turned import turned_by
from megbench.taught.dressed_actor import DressedActor
from megbench.taught.people import person, role
from megbench.taught.states import State

STILL = (1.0, 0.0, 0.0, 0.0)
ROLE = role(0, "painted")


@pytest.fixture(scope="module")
def actor() -> Actor:
    return Actor(person(ROLE))


@pytest.fixture(scope="module")
def dressed() -> DressedActor:
    return DressedActor(ROLE, wears_glasses=False)


@pytest.fixture(scope="module")
def mouth() -> inner_mouth.Mouth:
    return inner_mouth.drawn_mouth(np.random.default_rng(0))


def moved(**units: float) -> np.ndarray:
    return sum(
        (basis()[ACTION_UNITS.index(unit)] * amount * MICRO for unit, amount in units.items()), np.zeros((478, 2))
    )


def polygon_of_lips(actor: Actor, displacement: np.ndarray) -> np.ndarray:
    face = actor.person.face
    return face.vertices[np.r_[mesh.UPPER_LIP_INNER, mesh.LOWER_LIP_INNER]] + face.to_pixels(
        displacement[np.r_[mesh.UPPER_LIP_INNER, mesh.LOWER_LIP_INNER]]
    )


@pytest.mark.parametrize("units", [{}, {"AU01": 3.0}, {"AU24": 0.8}, {"AU17": 1.0}, {"AU12": 1.5}, {"AU43": 1.2}])
def test_a_mouth_that_does_not_part_its_lips_is_left_bit_for_bit(units, dressed, actor):
    cue = State(units, 3, STILL).cue()
    forward = actor.move(cue.displacement)
    plain = actor.shoot(forward, AT_REST, invert_steep(forward))
    shot = dressed.shoot(cue)
    assert np.array_equal(shot.frame, plain.frame)


@pytest.mark.parametrize("units", [{"AU25": 0.8}, {"AU26": 4.0, "AU25": 3.0}, {"AU12": 4.0, "AU25": 2.0}])
def test_the_interior_lies_between_the_moved_lips_only(units, actor, mouth):
    displacement = moved(**units)
    frame = np.full((256, 256, 3), 255, np.uint8)
    painted = inner_mouth.paint(frame, mouth, actor.person.face, displacement, np.zeros(2), 0.1, AT_REST)
    changed = np.argwhere((painted != frame).any(-1))[:, ::-1]
    lips = polygon_of_lips(actor, displacement)
    assert len(changed) > 20
    assert (changed >= lips.min(0) - 2).all()
    assert (changed <= lips.max(0) + 2).all()


def test_motion_is_that_of_the_bare_face(dressed, actor):
    cue = State({"AU26": 4.0, "AU25": 3.0, "AU43": 3.5}, 3, STILL).cue()
    forward = actor.move(cue.displacement)
    shot, bare = dressed.shoot(cue), actor.shoot(forward, AT_REST, invert_steep(forward))
    assert np.array_equal(shot.forward, bare.forward)
    assert np.array_equal(shot.backward, bare.backward)
    assert (shot.frame != bare.frame).any()


def test_upper_teeth_stay_with_the_head_and_lower_teeth_go_with_the_jaw(actor, mouth):
    frame = np.zeros((256, 256, 3), np.uint8)
    wide = moved(AU25=5.0)

    def painted(jaw: float) -> np.ndarray:
        return inner_mouth.paint(frame, mouth, actor.person.face, wide, np.zeros(2), jaw, AT_REST).astype(int)

    closed, opened = painted(0.0), painted(0.15)
    middle_y, middle_x = np.rint(inner_mouth.middle(actor.person.face))[::-1].astype(int)
    column = np.s_[middle_y - 3 : middle_y + 1, middle_x - 5 : middle_x + 5]  # above the upper teeth's edge
    assert np.array_equal(closed[column], opened[column])
    assert (closed[column] > 60).any()
    assert (closed != opened).any()
    turn = np.array([0.1, 0.05])
    frame_moved = inner_mouth.paint(frame, mouth, actor.person.face, wide + turn, turn, 0.0, AT_REST)
    shift = actor.person.face.to_pixels(turn)
    back = sample(frame_moved.astype(np.float32), (pixel_grid() + shift).astype(np.float32))
    assert np.abs(back - closed).mean() < 1.5, "a turned head takes all teeth with it"


def test_lids_close_over_the_eyes_and_only_there(actor):
    face = actor.person.face
    displacement = moved(AU43=1.6)
    forward = actor.move(displacement)
    frame = actor.shoot(forward).frame
    assert lids.close(frame, face, displacement, 0.0, AT_REST) is frame
    closed = lids.close(frame, face, displacement, 1.0, AT_REST).astype(int)
    changed = np.argwhere((closed != frame).any(-1))[:, ::-1]
    eyes = face.vertices[np.r_[mesh.RIGHT_UPPER_LID, mesh.LEFT_UPPER_LID]]
    nearest = np.linalg.norm(changed[:, None] - eyes, axis=-1).min(1)
    assert len(changed) > 50
    assert nearest.max() < 0.25 * face.eye_distance
    iris = np.rint(face.vertices[list(mesh.IRIS_CENTRES)] + np.array([0, 1])).astype(int)
    assert (closed[iris[:, 1], iris[:, 0]].mean(-1) > frame[iris[:, 1], iris[:, 0]].mean(-1) + 20).all()


def test_glasses_follow_the_head_whatever_the_face_does(actor):
    wearer = DressedActor(ROLE, wears_glasses=True)
    plain = DressedActor(ROLE, wears_glasses=False)

    def rims(state: State) -> np.ndarray:
        cue = state.cue()
        return np.abs(wearer.shoot(cue).frame.astype(int) - plain.shoot(cue).frame).sum(-1) > 60

    neutral = rims(State({}, 0, STILL))
    assert neutral.sum() > 150
    raised = rims(State({"AU01": 2.0, "AU06": 2.0}, 3, STILL))
    assert (neutral & raised).sum() > 0.8 * (neutral | raised).sum()
    box = np.argwhere(neutral).mean(0)
    shifted = np.argwhere(rims(State({}, 0, (1.001, 0.0, 3.0, 2.0)))).mean(0)
    assert np.allclose(shifted - box, [2, 3], atol=0.7)


def test_glasses_of_a_seed_are_always_the_same():
    one, two = (glasses.drawn_glasses(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.colour, two.colour)
    assert (one.lens, one.rim) == (two.lens, two.rim)


def test_a_steep_field_is_inverted_where_fixed_point_rounds_are_not(actor):
    forward = actor.move(moved(AU25=3.0, AU26=4.0))
    assert jacobian_determinant(forward).min() > 0.3

    def miss(backward: np.ndarray) -> float:
        return float(np.abs(backward + sample(forward, pixel_grid() + backward)).max())

    assert miss(invert(forward)) > 1
    assert miss(invert_steep(forward)) < 10 * SETTLED
    gentle = actor.move(moved(AU01=1.0))
    assert np.array_equal(invert(gentle), invert_steep(gentle))


def test_a_turned_head_moves_its_nose_most_and_its_mirror_image_the_other_way():
    assert np.array_equal(turned_by(0.0, 0.0), np.zeros((478, 2)))
    assert depth()[4] == pytest.approx(0.71, abs=0.02)
    assert np.allclose(depth(), depth()[mirror_order()])
    left, right = turned_by(0.1, 0.0), turned_by(-0.1, 0.0)
    assert np.allclose(left[mirror_order()] * [-1, 1], right)
    assert left[:468, 0].argmax() in (1, 4, 5, 19, 44, 45, 274, 275)
    assert not left[:, 1].any()
    assert turned_by(0.0, 0.1)[4, 1] > 0.15 > turned_by(0.0, 0.1)[234, 1] > 0


def test_a_head_turned_by_eight_degrees_does_not_fold(actor):
    for yaw, pitch in ((0.14, 0), (-0.14, 0), (0, 0.14), (0, -0.14), (0.1, -0.1)):
        assert jacobian_determinant(actor.move(turned_by(yaw, pitch))).min() > 0.3
