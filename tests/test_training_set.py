"""The training set has every person in every state, with exact motion, and is either complete or absent."""

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from megbench.clips.portraits import portrait_path, read_portrait
from megbench.clips.synthetic import parallel
from megbench.clips.synthetic.overlay import curve_at
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.render import Actor
from megbench.commands.training_people import chosen
from megbench.core.errors import BenchError
from megbench.core.frames import grey
from megbench.faces.landmarks import landmarks
from megbench.faces.mesh import FittedMesh
from megbench.protocols.demo import SHEET
from megbench.taught import training_set
from megbench.taught.people import PORTRAIT, SERIES, People, person, read_people, write_people
from megbench.taught.rendered import at, cells
from megbench.taught.states import (
    CAPS,
    HEAD_EVERY,
    KINDS,
    LIDS,
    LIDS_MEET,
    MICRO_RANGE,
    PLAIN_RANGE,
    State,
    draw_states,
)
from megbench.taught.training_set import build
from megbench.training.variation import people_held_out

PEOPLE, STATES = 2, 9


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "FEW", sys.maxsize)  # work in this process, which has done the imports
        return build(tmp_path_factory.mktemp("training") / "set", PEOPLE, STATES, seed=3)


@pytest.fixture(scope="module")
def arrays(made) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path, allow_pickle=False) for path in made.glob("*.npy")}


def test_many_tasks_are_done_in_processes_and_keep_their_order():
    tasks = range(parallel.FEW + 2)
    assert parallel.in_parallel(math.factorial, tasks, "", progress=False) == [math.factorial(task) for task in tasks]


def test_arrays_are_as_documented(arrays):
    assert {name: (array.shape, array.dtype) for name, array in arrays.items()} == {
        "frames": ((PEOPLE, STATES, 256, 256, 3), np.uint8),
        "flow": ((PEOPLE, STATES, 64, 64, 2), np.float16),
        "inverse": ((PEOPLE, STATES, 64, 64, 2), np.float16),
        "mesh": ((PEOPLE, STATES, 478, 2), np.float32),
        "landmarks": ((PEOPLE, 68, 2), np.float32),
        "face": ((PEOPLE, 64, 64), np.uint8),
    }


def test_state_0_is_neutral_and_all_others_move(arrays):
    assert not arrays["flow"][:, 0].any()
    assert not arrays["inverse"][:, 0].any()
    assert (np.abs(arrays["flow"][:, 1:]).max((2, 3, 4)) > 0.2).all()
    assert (arrays["frames"][:, 1:] != arrays["frames"][:, :1]).any((2, 3, 4)).all()


def test_flow_and_inverse_lead_there_and_back(arrays):
    flow, inverse = (arrays[name].astype(np.float32).reshape(-1, 64, 64, 2) for name in ("flow", "inverse"))
    grid = cells(64)
    missed = [np.abs(back + at(there, grid + back)).max(-1) for there, back in zip(flow, inverse, strict=True)]
    # On the coarse grid, motion is smooth except where lips part.
    assert np.mean(np.array(missed) < 0.3) > 0.985
    assert np.median(missed) < 0.01


def test_people_differ_and_do_the_same(arrays, made):
    assert np.abs(arrays["frames"][0, 0].astype(float) - arrays["frames"][1, 0]).mean() > 5
    # Compare in eye distances: the first two people come from different portraits.
    lips = [FittedMesh(one[0]).to_face_units(one[:, 61] - one[0, 61]) for one in arrays["mesh"]]
    assert np.allclose(lips[0], lips[1], atol=0.02)
    assert np.abs(lips[0]).max() > 0.1
    assert len(json.loads((made / "states.json").read_text())) == STATES
    assert len(json.loads((made / "identities.json").read_text())) == PEOPLE


def test_a_finished_set_is_kept_and_an_unfinished_one_made_again(made, tmp_path, monkeypatch):
    before = (made / "frames.npy").stat().st_mtime_ns
    assert build(made, PEOPLE, STATES, seed=3) == made
    assert (made / "frames.npy").stat().st_mtime_ns == before
    other = shutil.copytree(made, tmp_path / "set")

    def stop(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(training_set, "in_parallel", stop)
    with pytest.raises(InterruptedError):
        build(other, PEOPLE, STATES + 1, seed=3)  # another request, for which the marker is removed first
    assert not (other / "set.json").exists()


def test_finished_people_of_a_stopped_set_are_kept(made, tmp_path, monkeypatch, capfd):
    film, done = training_set._film, []

    def stopping(folder, cues, index):
        if done:
            raise KeyboardInterrupt
        film(folder, cues, index)
        done.append(index)

    monkeypatch.setattr(training_set, "_film", stopping)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, PEOPLE, STATES, seed=3, progress=True)
    assert "rendering 2 people in 9 states" in capfd.readouterr().err
    assert not (tmp_path / "set.json").exists()
    monkeypatch.setattr(training_set, "_film", lambda *given: film(*given) or done.append(given[-1]))
    build(tmp_path, PEOPLE, STATES, seed=3, progress=True)
    assert done == [0, 1]
    assert "rendering 2 people (already finished: 1) in 9 states" in capfd.readouterr().err
    for path in made.glob("*.npy"):
        assert np.array_equal(np.load(path), np.load(tmp_path / path.name))
    assert (tmp_path / "set.json").exists()
    assert not (tmp_path / training_set.DONE).exists()


def test_the_people_are_those_of_the_file_and_no_more_than_it_has(made, arrays, tmp_path):
    people = read_people()
    assert len(set(people.roles)) == len(people.roles) == training_set.DEMO_SET[0]
    assert [Role(**one) for one in json.loads((made / "identities.json").read_text())] == list(people.roles[:PEOPLE])
    assert np.array_equal(arrays["landmarks"], people.landmarks[:PEOPLE])
    with pytest.raises(BenchError, match=r"56 people were requested, but only 55 are available\. Request 55 or fewer"):
        build(tmp_path / "set", 56, STATES, seed=0)
    assert not (tmp_path / "set").exists()


def test_people_held_out_are_drawn_from_portraits_that_no_trained_person_has():
    portraits = [one.portrait for one in read_people().roles]
    assert len(set(portraits)) == 36
    held_out = portraits[-people_held_out(None, len(portraits)) :]
    assert len(set(held_out)) == len(held_out)
    assert not set(held_out) & set(portraits[: -len(held_out)])
    assert portraits.count(PORTRAIT) == 20
    assert "hopper" not in portraits, "the second portrait of the demo is never trained on"


def test_the_file_holds_what_dlib_finds():
    people = read_people()
    portrait = read_portrait(PORTRAIT)
    assert np.abs(people.portrait(PORTRAIT).texture.astype(int) - portrait.texture).mean() < 0.01
    np.testing.assert_allclose(people.meshes[PORTRAIT].vertices, portrait.face.vertices, atol=0.01)
    for index in (0, 1):  # one from the photograph, one from a rendered head
        neutral = Actor(person(people.roles[index])).shoot(np.zeros((256, 256, 2), np.float32)).frame
        found = landmarks(grey(neutral[None])[0], "a person")
        np.testing.assert_allclose(people.landmarks[index], found, atol=1)


def test_the_command_chooses_people_and_finds_their_landmarks(tmp_path, capsys):
    photograph = shutil.copy(portrait_path("hopper"), tmp_path / "second.jpg")
    Image.new("RGB", (200, 200)).save(tmp_path / "nobody.png")
    made = chosen(2, 4, [Path(photograph), tmp_path / "nobody.png"])
    assert "nobody.png is left out" in capsys.readouterr().err
    assert sorted(one.portrait for one in made.roles) == [PORTRAIT, PORTRAIT, "second"]
    assert {one.number for one in made.roles if one.portrait == PORTRAIT} < set(range(4))
    assert made.landmarks.shape == (3, 68, 2)
    for one, found in zip(made.roles, made.landmarks, strict=True):
        mesh = one.person(made.portrait(one.portrait)).face
        assert np.linalg.norm(found - mesh.landmarks, axis=1)[17:].mean() < 0.05 * mesh.eye_distance


def test_the_mouths_corners_may_overtake_each_other():
    folding = np.array([[0, 0], [2, 1], [1.5, 2], [1.5, 3], [4, 0]], float)
    heights = curve_at(folding, np.linspace(-1, 5, 50, dtype=np.float32)[None])
    assert np.isfinite(heights).all()
    assert 0 <= heights.min() <= heights.max() <= 3


def test_a_file_of_people_is_read_as_it_was_written_and_another_is_refused(tmp_path):
    people = read_people()
    name = people.roles[1].portrait
    few = People({name: people.pictures[name]}, {name: people.meshes[name]}, people.roles[1:2], people.landmarks[1:2])
    again = read_people(write_people(tmp_path / "people.npz", few))
    assert again.roles == few.roles
    assert again.pictures == few.pictures
    assert np.array_equal(again.meshes[name].vertices, few.meshes[name].vertices)
    with pytest.raises(BenchError, match=f"contains no portrait {PORTRAIT} of 512 x 512"):
        again.portrait(PORTRAIT)
    write_people(tmp_path / "short.npz", replace(few, roles=2 * few.roles))
    np.savez(tmp_path / "foreign.npz", numbers=np.arange(3))
    (tmp_path / "text.npz").write_text("people")
    for stem, why in (("short", "instead of"), ("foreign", "names"), ("text", "cannot be read"), ("no", "No such")):
        with pytest.raises(BenchError, match=f"{stem}.npz, the people of the training set, .*{why}.*training_people"):
            read_people(tmp_path / f"{stem}.npz")


@pytest.fixture(scope="module")
def states() -> list[State]:
    return draw_states(65, seed=0)


def test_states_keep_to_the_caps_and_mix_head_and_face(states):
    assert states[:9] == draw_states(9, seed=0)
    assert states[:3] != draw_states(3, seed=1)
    assert states[0].action_units == {}
    for state in states:
        assert all(amount <= CAPS.get(unit, PLAIN_RANGE[1]) for unit, amount in state.action_units.items())
    moving = [state for state in states if state.head != (1.0, 0.0, 0.0, 0.0)]
    assert len(moving) == len(states) // HEAD_EVERY
    assert sum(not state.action_units for state in moving) == 8
    turned = [state for state in states if state.turn != (0.0, 0.0)]
    assert 4 <= len(turned) < len(moving)
    assert all(state in moving for state in turned), "a head of 1, 0, 0, 0 is taken for one that is still"
    assert 3 < np.degrees(np.abs([state.turn for state in turned])).max() <= 8


def test_half_of_the_expressions_are_micro_and_some_open_the_mouth_wide_and_close_the_eyes(states):
    strongest = np.array([max(state.action_units.values()) for state in states if state.action_units])
    micro = (strongest <= MICRO_RANGE[1]).mean()
    assert 0.45 < micro < 0.65
    cues = [state.cue() for state in states]
    gaps = [np.subtract(*cue.displacement[[14, 13], 1]) for cue in cues]
    assert max(gaps) > 0.3, "eye distances: 18 pixels"
    assert max(cue.lids for cue in cues) > 0.9
    assert KINDS.count("wide") * 6 == KINDS.count("plain") * 3 == KINDS.count("micro") * 2 == 6


def test_lids_fold_no_further_than_the_skin_can_and_a_painted_lid_does_the_rest():
    still = (1.0, 0.0, 0.0, 0.0)
    half, whole = (State({"AU43": amount}, 1, still).cue() for amount in (LIDS, LIDS_MEET))
    assert np.array_equal(half.displacement, whole.displacement)
    assert (half.lids, whole.lids) == (0, pytest.approx(1))


def test_the_jaw_takes_the_lower_teeth_with_it_and_no_other_unit_does():
    still = (1.0, 0.0, 0.0, 0.0)
    assert State({"AU25": 3.0, "AU12": 2.0}, 1, still).cue().jaw == 0
    one, two = (State({"AU26": amount}, 1, still).cue().jaw for amount in (1.0, 2.0))
    assert two == pytest.approx(2 * one)
    assert one > 0.02


def test_training_and_demo_share_neither_people_nor_manners():
    assert SHEET.series != SERIES
    assert not SHEET.series.startswith(SERIES)
    portraits = {template.portrait for template in SHEET.templates}
    assert portraits - {PORTRAIT}, "one template must come from a portrait that is never trained on"
