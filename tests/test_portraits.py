"""Portraits: found in the packages that include them, cropped to the face, with their mouths closed."""

import shutil

import cv2
import numpy as np
import pytest

from megbench.clips import portraits
from megbench.clips.portraits import portraits_in, read_portrait
from megbench.core.errors import BenchError
from megbench.core.frames import SIZE, grey
from megbench.faces.landmarks import detect


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
def test_the_face_lies_where_frames_want_it(name):
    portrait = read_portrait(name)
    assert portrait.texture.shape == (512, 512, 3)
    assert portrait.texture.dtype == np.uint8
    assert portrait.face.eye_distance == pytest.approx(0.24 * SIZE, rel=0.1)
    found = detect(grey(cv2.resize(portrait.texture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[None])[0])
    assert found is not None
    assert np.linalg.norm(found - portrait.face.landmarks, axis=1)[17:].mean() < 0.03 * portrait.face.eye_distance


def mouth_gap(face: portraits.FittedMesh) -> float:
    inner = face.landmarks[60:68]
    return float(np.linalg.norm(inner[[1, 2, 3]] - inner[[7, 6, 5]], axis=1).mean() / face.eye_distance)


def test_an_open_smile_is_closed_and_shows_no_teeth():
    raw = portraits._cut(portraits.read_picture(portraits.portrait_path("astronaut")), "astronaut")
    smiling = portraits._fit(raw, "astronaut")
    assert mouth_gap(smiling) > 0.1
    closed, face = portraits.close_mouth(raw, smiling)
    assert mouth_gap(face) < 0.01
    assert mouth_gap(portraits._fit(closed, "closed")) < 0.08

    def brightest(texture: np.ndarray, mesh: portraits.FittedMesh) -> float:
        x, y = np.round(portraits.to_texture(mesh.landmarks[[62, 66]]).mean(0)).astype(int)
        return float(np.percentile(grey(texture[None])[0][y - 6 : y + 7, x - 20 : x + 21], 99))

    assert brightest(closed, face) < brightest(raw, smiling) - 40


def test_a_closed_mouth_is_left_alone():
    raw = portraits._cut(portraits.read_picture(portraits.portrait_path("hopper")), "hopper")
    assert np.array_equal(read_portrait("hopper").texture, raw)


def test_a_users_portrait_stays_as_it_is(tmp_path):
    shutil.copy(portraits.portrait_path("astronaut"), tmp_path / "mine.png")
    assert mouth_gap(read_portrait(str(tmp_path / "mine.png")).face) > 0.1


def test_several_faces_are_refused(tmp_path):
    one = cv2.imread(str(portraits.portrait_path("astronaut")))
    cv2.imwrite(str(tmp_path / "pair.png"), np.hstack([one, one]))
    with pytest.raises(BenchError, match=r"pair\.png: 2 faces in the portrait"):
        read_portrait(str(tmp_path / "pair.png"))


def test_bad_portraits_are_named(tmp_path):
    with pytest.raises(BenchError, match="does not exist"):
        portraits_in(tmp_path / "nowhere")
    with pytest.raises(BenchError, match="no pictures"):
        portraits_in(tmp_path)
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((300, 300, 3), 90, np.uint8))
    assert portraits_in(tmp_path) == [tmp_path / "wall.png"]
    with pytest.raises(BenchError, match=r"wall\.png: no frontal face found in the portrait"):
        read_portrait(str(tmp_path / "wall.png"))
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(BenchError, match=r"text\.png"):
        read_portrait(str(tmp_path / "text.png"))
