"""Which face is used: the rule, the choice among several faces, and refusals that state a remedy."""

import functools
import io
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from megbench.clips import chosen_face
from megbench.clips.chosen_face import check_face, frame_clip
from megbench.clips.databases.table import TABLE
from megbench.clips.folder import ClipFolder, Recording, prepare, template
from megbench.clips.portraits import BUILT_IN, portrait_path, read_portrait
from megbench.core.clip import several_faces
from megbench.core.errors import BenchError, CellFailed
from megbench.core.frames import grey
from megbench.core.pictures import read_picture
from megbench.faces import landmarks
from megbench.faces.embedding import embeddings
from megbench.faces.landmarks import (
    ONE_FACE,
    SURE,
    WEAK,
    Face,
    believed,
    candidates,
    eye_distance,
    overlap,
    points_in,
)
from megbench.protocols import make
from megbench.protocols.demo import Demo
from megbench.protocols.folder import Folder as FolderProtocol

# The largest distance (in eye distances) and the largest ratio of sizes between boxes of one face: dlib examines every
# eighth pixel of pictures scaled in steps of 5/6, so two boxes may be two steps apart. The clothes are 6 eye distances
# away.
NEAR, ALIKE = 0.25, 1.44


@functools.cache
def portrait(name):
    return read_picture(portrait_path(name))


@functools.cache
def head(name, width):
    """Return the head of a portrait as a separate square, with a face about `width` dlib pixels wide."""
    left, top, side = {"astronaut": (130, 30, 190), "hopper": (85, 30, 380)}[name]
    size = round(width * side / {"astronaut": 88, "hopper": 216}[name])
    return cv2.resize(portrait(name)[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)


def beside(left, right, height=260, width=480):
    """Return two heads (name, width of the face) in front of one grey background, one in each half."""
    room = np.full((height, width, 3), 90, np.uint8)
    for start, (name, face) in ((10, left), (width // 2, right)):
        picture = head(name, face)
        room[20 : 20 + len(picture), start : start + len(picture)] = picture
    return room


BOTH = beside(("astronaut", 50), ("hopper", 100))


def clip(folder, *pictures):
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"{index}.png")
    return folder


def vector(picture):
    """Return dlib's embedding of the face that the suite would measure in a picture."""
    luma = grey(picture[None])[0]
    return embeddings([picture], [points_in(luma, believed(candidates(luma))[0])])[0]


@functools.cache
def known(name):
    return vector(head(name, 150))


def who(frame):
    """Return the person that the suite would measure in a frame; by dlib's rule, people are 0.6 apart."""
    seen = vector(frame)
    return min(BUILT_IN, key=lambda name: np.linalg.norm(seen - known(name)))


def variants(picture):
    """Yield 35 everyday versions of a picture, each with its scale and its shift."""
    for quality in (98, 95, 92, 90, 85, 80, 75, 60, 50):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        yield np.asarray(Image.open(file).convert("RGB")), 1, (0, 0)
    for x, y in ((1, 0), (2, 0), (0, 1), (0, 2), (3, 2), (5, 7), (7, 3), (-1, 0), (0, -1), (-2, -2), (4, -3)):
        matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
        size = picture.shape[1], picture.shape[0]
        yield cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE), 1, (x, y)
    for gamma in (0.5, 0.7, 0.85, 1.2, 1.5, 2):
        yield np.round(255 * (picture / 255) ** gamma).astype(np.uint8), 1, (0, 0)
    for scale in (0.4, 0.5, 0.6, 0.66, 0.75, 0.9, 1.1, 1.25, 1.5):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        yield cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method), scale, (0, 0)


@pytest.mark.parametrize("name", BUILT_IN)
def test_everyday_variants_of_a_portrait_give_the_same_face(name):
    luma = grey(portrait(name)[None])[0]
    (face,) = believed(candidates(luma))
    unit, wanted = eye_distance(points_in(luma, face)), np.array(face.box).reshape(2, 2).mean(0)
    largest_is_another = 0
    tried = list(variants(portrait(name)))
    assert len(tried) == 35
    for picture, scale, shift in tried:
        seen = candidates(grey(picture[None])[0])
        (found,) = believed(seen)
        centre = (np.array(found.box).reshape(2, 2).mean(0) - shift) / scale
        assert np.linalg.norm(centre - wanted) < NEAR * unit
        assert face.width / ALIKE < found.width / scale < face.width * ALIKE
        largest_is_another += max(seen, key=lambda other: other.width).box != found.box
    # The clothes are the larger box in some variants of one picture, as the test requires, and in no variant of the
    # other.
    assert (largest_is_another > 5) == (name == "astronaut")


def test_a_portrait_whose_clothes_look_like_a_face_is_a_template_and_a_portrait(tmp_path):
    Image.fromarray(portrait("astronaut")).save(tmp_path / "saved.jpg", quality=80)
    assert len(candidates(grey(read_picture(tmp_path / "saved.jpg")[None])[0])) > 1
    assert who(template(tmp_path / "saved.jpg", "saved").image) == "astronaut"
    mesh = read_portrait(str(tmp_path / "saved.jpg")).face
    assert mesh.eye_distance == pytest.approx(0.24 * 256, rel=0.1)


scores = st.floats(0, 2.5)
found = st.lists(st.builds(lambda size, score: Face((0, 0, size, size), score), st.integers(40, 400), scores))


@given(found)
def test_the_rule(faces):
    taken = believed(faces)
    sure = [face for face in faces if face.score >= SURE]
    if sure:
        assert taken[0].width == max(face.width for face in sure)
        assert sorted(face.score for face in taken) == sorted(face.score for face in sure)
    elif any(face.score >= WEAK for face in faces):
        assert [face.score for face in taken] == [max(face.score for face in faces)]
    else:
        assert taken == []


@given(st.tuples(*[st.integers(-50, 300)] * 2), st.integers(40, 300), st.integers(0, 60))
def test_boxes_of_one_face_share_most_and_neighbours_nothing(corner, size, off):
    def face(x, y, side):
        return Face((x, y, x + side, y + side), 1.0)

    box = face(*corner, size)
    moved = face(corner[0] + size * off // 300, corner[1] + size * off // 300, size)  # by at most a fifth
    assert overlap(box, box) == 1
    assert overlap(box, moved) == overlap(moved, box) >= ONE_FACE
    assert overlap(box, face(corner[0] + size + 1, corner[1], size)) == 0


def test_a_box_that_the_second_pass_confirms_stays_in_place(monkeypatch):
    """If the score of a clip's frames crosses 0.4, the boxes from which they are measured must not jump."""
    weak, confirmation, far = Face((72, 86, 197, 211), 0.24), Face((62, 77, 191, 206), 1.04), Face((0, 0, 40, 40), 0.9)
    poor, better = Face((166, 74, 285, 193), 0.17), Face((180, 77, 266, 163), 1.19)
    passes = {0: [weak, poor], 1: [confirmation, far, better]}
    monkeypatch.setattr(landmarks, "_boxes", lambda _, doublings: passes[doublings])
    found = candidates(np.zeros((300, 300), np.uint8))
    assert sorted(found, key=lambda face: face.score) == [far, Face(weak.box, 1.04), better]


def test_a_small_face_is_found_beside_a_larger_one():
    """The detector needs a second pass to find the small face and makes that pass only if all faces are requested."""
    luma = grey(BOTH[None])[0]
    assert len(believed(candidates(luma))) == 1
    assert len(believed(candidates(luma, everyone=True))) == 2


@pytest.mark.parametrize(
    ("choice", "name"),
    [("", "hopper"), ("left", "astronaut"), ("right", "hopper"), ("1", "hopper"), ("2", "astronaut")],
)
def test_the_chosen_face_drives(tmp_path, choice, name):
    recording = Recording(clip(tmp_path / "talk", BOTH, BOTH), "talk", "folder", "talk", face=choice)
    prepared = prepare(recording, tmp_path / "cache")
    assert prepared.problem == ""
    assert who(prepared.frames()[0]) == name
    large, small = prepared.faces
    assert 40 < small < 60 < 80 < large < 120
    kept = json.loads((prepared.folder / "clip.json").read_text())
    assert (kept["face"], kept["faces"]) == (choice, [large, small])
    assert prepare(recording, tmp_path / "cache") == prepared


def test_a_choice_makes_another_clip(tmp_path):
    folder = clip(tmp_path / "drivers" / "talk", BOTH, BOTH)
    (left,), (right,) = (ClipFolder(folder.parent, tmp_path / "cache", face).clips() for face in ("left", "right"))
    assert left.folder != right.folder
    assert left.content != right.content


def test_several_faces_are_told_each_time(tmp_path, capfd):
    clip(tmp_path / "drivers" / "talk", BOTH, BOTH)
    clip(tmp_path / "drivers" / "alone", head("hopper", 100), head("hopper", 100))
    for face, taken in (("", "the largest"), ("", "the largest"), ("LEFT ", "the left one")):
        talk = ClipFolder(tmp_path / "drivers", tmp_path / "cache", face).clips()[1]
        (told,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("Note: ")]
        large, small = talk.faces
        assert f"talk: 2 faces in its first frame ({large} and {small} px wide), {taken} was used" in told
        assert "--face left, right or a number" in told


def test_missing_pictures_of_a_driver_are_told(tmp_path, capfd):
    folder = clip(tmp_path / "drivers" / "alone", *[head("hopper", 100)] * 5)
    ClipFolder(tmp_path / "drivers", tmp_path / "cache").recordings()
    assert "no picture" not in capfd.readouterr().err
    (folder / "3.png").unlink()
    ClipFolder(tmp_path / "drivers", tmp_path / "cache").recordings()
    assert (
        "alone has no picture with number 3; its other pictures are read as consecutive frames"
        in capfd.readouterr().err
    )


def test_fewer_faces_than_asked_for(tmp_path, capfd):
    clip(tmp_path / "drivers" / "alone", head("hopper", 100), head("hopper", 100))
    clip(tmp_path / "drivers" / "talk", BOTH, BOTH)
    alone, talk = ClipFolder(tmp_path / "drivers", tmp_path / "cache", "2").clips()
    assert talk.problem == ""
    assert "face 2 was requested" in alone.problem
    assert "shows one face (" in alone.problem
    assert "driver alone cannot be used: face 2 was requested" in capfd.readouterr().err
    with pytest.raises(BenchError, match=r"No driver can be used: face 3 .* shows one face .*Choose 1, left or right"):
        ClipFolder(tmp_path / "drivers", tmp_path / "cache", "3").clips()


@pytest.mark.parametrize("text", ["0", "-1", "middle", "1.5", "left right", "²", "9" * 5000, "\x1b[31m"])
def test_a_choice_that_is_none_is_refused(text):
    with pytest.raises(BenchError, match=r"Choose left or right .* or a rank by size") as error:
        check_face(text)
    assert len(str(error.value)) < 300
    assert str(error.value).isprintable()


def test_choices_are_tidied():
    assert [check_face(text) for text in ("", " Left", "RIGHT", "01", "12")] == ["", "left", "right", "1", "12"]


def test_protocols_without_drivers_take_no_face(tmp_path):
    with pytest.raises(BenchError, match=r"'demo' takes no --face\. Leave it out; this protocol takes --portraits"):
        make("demo", Demo, tmp_path, {}, "left")
    with pytest.raises(BenchError, match="face 'middle' cannot be chosen"):
        make("folder", FolderProtocol, tmp_path, {"drivers": tmp_path, "templates": tmp_path}, "middle")


def test_a_still_picture_with_several_faces_is_refused(tmp_path):
    Image.fromarray(BOTH).save(tmp_path / "pair.png")
    for read, role in (
        (lambda: template(tmp_path / "pair.png", "pair"), "template"),
        (
            lambda: read_portrait(str(tmp_path / "pair.png")),
            "portrait",
        ),
    ):
        with pytest.raises(BenchError, match=rf"pair\.png: 2 faces in the {role} \(\d+ and \d+ px wide\)\. Crop"):
            read()


@pytest.mark.parametrize(
    ("turn", "told"), [(1, "by 90 degrees to the right"), (2, "by 180 degrees"), (3, "by 90 degrees to the left")]
)
def test_the_turn_that_finds_a_face_is_named_and_not_made(tmp_path, turn, told):
    turned = np.rot90(head("hopper", 90), turn)
    problem = prepare(Recording(clip(tmp_path / "a", turned, turned), "a", "folder", "a"), tmp_path / "cache").problem
    assert problem.endswith(f"Turned {told}, it shows a face: turn the clip")
    for read in (lambda path: template(path, "a"), lambda path: read_portrait(str(path))):
        with pytest.raises(BenchError, match=f"Turned {told}, it shows a face: turn the picture"):
            read(tmp_path / "a" / "0.png")


def test_a_face_that_comes_later_is_named():
    face, room = head("hopper", 90), np.full_like(head("hopper", 90), 90)
    with pytest.raises(CellFailed, match=r"\(nothing looks like a face\)\. Frame 25 \(the first is 0\) shows a face"):
        frame_clip(room, [*[room] * 24, *[face] * 10], "", "a")
    with pytest.raises(CellFailed, match=r"like a face\)\. Supply a clip that begins with an upright frontal face"):
        frame_clip(room, [room] * 10, "", "a")


def test_a_refusal_gives_the_best_score(monkeypatch):
    room = np.full((100, 100, 3), 90, np.uint8)
    monkeypatch.setattr(chosen_face, "candidates", lambda *_, **__: [Face((1, 1, 50, 50), s) for s in (0.11, 0.24)])
    with pytest.raises(CellFailed, match=r"no frontal face found in a \(the best score is 0\.24, but 0\.3 is needed\)"):
        frame_clip(room, [], "", "a")


def test_a_single_face_between_the_bounds_drives():
    """A dim, increasingly noisy face, as in a dark laboratory, is accepted down to a score of 0.3, not below."""
    grain = np.random.default_rng(0).normal(0, 1, head("astronaut", 90).shape[:2])[..., None]
    taken = []
    for noise in range(8, 24):
        dim = np.clip(0.6 * head("astronaut", 90) + 24 + noise * grain, 0, 255).astype(np.uint8)
        seen = candidates(grey(dim[None])[0], everyone=True)
        best = max((face.score for face in seen), default=0)
        if best >= WEAK:
            assert len(frame_clip(dim, [], "", "a").widths) == 1
            taken.append(best)
        else:
            with pytest.raises(CellFailed, match="no frontal face found in a"):
                frame_clip(dim, [], "", "a")
            break
    assert taken[0] >= SURE > taken[-1]


def test_a_crop_that_shows_another_face_first_is_refused(monkeypatch):
    """The crop here is the complete picture, in which the larger face would be measured, whichever face is chosen."""
    square = beside(("astronaut", 60), ("hopper", 100), height=480)
    monkeypatch.setattr(chosen_face, "crop_box", lambda *_: (0, 0, 480, 480))
    assert frame_clip(square, [], "right", "a").widths == frame_clip(square, [], "", "a").widths
    with pytest.raises(CellFailed, match="another face is so close to the one chosen in a that it would be measured"):
        frame_clip(square, [], "left", "a")


def test_a_table_chooses_for_single_clips(tmp_path):
    clip(tmp_path / "talk", BOTH, BOTH)
    lines = ["path,subject,fps,face", "talk,p1,30,right", "talk,p2,30,Left", "talk,p3,30,middle", "talk,p4,30,-"]
    (tmp_path / "ours.csv").write_text("\n".join(lines))
    clips = TABLE.survey(tmp_path / "ours.csv").clips
    assert [found.recording.face for found in clips] == ["right", "left", "", ""]
    assert [bool(found.problem) for found in clips] == [False, False, True, False]
    assert "The face 'middle' cannot be chosen" in clips[2].problem


def test_one_face_is_nothing_to_tell():
    assert several_faces((), "left") == several_faces((88,), "") == ""
    told = "3 faces in its first frame (105, 105 and 73 px wide), number 2 by size was used"
    assert several_faces((105, 105, 73), "2") == told


@pytest.mark.usefixtures("in_this_process")
def test_the_command_line_takes_the_choice_to_the_run(call, tmp_path):
    (tmp_path / "templates").mkdir()
    Image.fromarray(head("hopper", 100)).save(tmp_path / "templates" / "face.png")
    clip(tmp_path / "drivers" / "talk", BOTH, BOTH)
    folders = ("--protocol", "folder", "--drivers", "drivers", "--templates", "templates")
    request = ("--methods", "shift", "--metrics", "difference", "--no-controls", *folders, "--face", "left")
    code, _, err = call(*request, "--out", "out")
    assert code == 0
    assert "Note: talk: 2 faces in its first frame" in err
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    (cell,) = run["cells"]
    assert (run["request"]["face"], cell["face"], len(cell["faces"])) == ("left", "left", 2)
    assert "the left one was used" in (tmp_path / "out" / "report.html").read_text()
    code, out, _ = call("verify", "out")
    assert (code, "1 cell animated again; 0 differ" in out) == (0, True)
    code, out, err = call(*request[:-1], "3")
    assert (code, out) == (2, "")
    assert "face 3 was requested, but the first frame of" in err
    code, _, err = call("list", "clips", *folders, "--face", "above")
    assert (code, "The face 'above' cannot be chosen" in err) == (2, True)


def test_a_prepared_store_keeps_the_choice_and_takes_no_other(call, tmp_path):
    clip(tmp_path / "talk", BOTH, BOTH)
    rows = [f"talk,p{number},30,{face}" for number, face in enumerate(("right", "left", "3"))]
    (tmp_path / "ours.csv").write_text("\n".join(["path,subject,fps,face", *rows]))
    code, out, err = call("prepare", "table", "ours.csv", "--out", "store", "--workers", "1")
    assert code == 0
    assert "left out: p2_talk: face 3 was requested, but the first frame of" in out
    assert "Note: p1_talk: 2 faces in its first frame" in err
    stored = ClipFolder(tmp_path / "store", tmp_path / "cache").clips()
    assert [(clip.face, len(clip.faces), who(clip.frames()[0])) for clip in stored] == [
        ("right", 2, "hopper"),
        ("left", 2, "astronaut"),
    ]
    with pytest.raises(BenchError, match=r"--face left: the clips in .* are already cropped"):
        ClipFolder(tmp_path / "store", tmp_path / "cache", "left").clips()


@pytest.mark.parametrize("shape", [(1, 30_000), (30_000, 1)], ids=["wide", "tall"])
def test_a_strip_without_a_face_is_refused_in_a_line(tmp_path, shape):
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "strip.png")
    with pytest.raises(BenchError, match=r"strip\.png") as error:
        template(tmp_path / "strip.png", "strip")
    assert "\n" not in str(error.value)
