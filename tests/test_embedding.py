"""Face embeddings equal dlib's own, and each face is analysed only once."""

import dlib
import numpy as np
import pytest

from megbench.core.errors import BenchError
from megbench.core.frames import content_hash, grey
from megbench.faces import embedding as module
from megbench.faces import features as seen_module
from megbench.faces.embedding import WEIGHTS, embedding_at, embeddings
from megbench.faces.features import SeenClip
from megbench.faces.landmarks import BORDER, landmarks, model_path, padded
from tests.moving_face import face


def of_dlib(image, points):
    parts = [dlib.point(int(x) + BORDER, int(y) + BORDER) for x, y in points]
    shape = dlib.full_object_detection(dlib.rectangle(), parts)
    network = dlib.face_recognition_model_v1(str(model_path(WEIGHTS)))
    return np.array(network.compute_face_descriptor(np.ascontiguousarray(padded(image)), shape))


def test_embeddings_are_dlibs_whatever_stands_beside_a_face_in_its_batch():
    image = face()
    points = landmarks(grey(image[None])[0], "the face")
    darker = (image // 2).astype(np.uint8)
    both = embeddings([image, darker], [points, points])
    assert both.shape == (2, 128)
    np.testing.assert_allclose(both[0], of_dlib(image, points), atol=2e-6)
    np.testing.assert_allclose(both[1], embeddings([darker], [points])[0], atol=2e-6)
    assert np.linalg.norm(both[0] - both[1]) > 0.05


def test_no_faces_have_no_embeddings():
    assert embeddings([], []).shape == (0, 128)


@pytest.mark.parametrize("change", [lambda data: data[:5000], lambda data: data.replace(b"affine_", b"bn_con_")])
def test_a_file_with_another_network_is_refused_by_name(change):
    with pytest.raises(BenchError, match="is not dlib's face network"):
        module._Network(change(model_path(WEIGHTS).read_bytes()))


def test_frames_with_the_same_pixels_are_looked_at_once_and_what_is_kept_not_at_all(tmp_path, monkeypatch):
    still, seen = np.repeat(face()[None], 6, axis=0), []
    still[3, 0, 0] ^= 255
    vectors = np.arange(2.0)[:, None] * np.ones(128)
    points = landmarks(grey(still[:1])[0], "the face")

    def look(images, shapes):
        seen.append(len(images))
        return vectors[: len(images)]

    monkeypatch.setattr(module, "embeddings", look)
    monkeypatch.setattr(seen_module, "detect", lambda image: seen.append("detected") or points)
    clip = SeenClip("output", lambda: still, content_hash(still), tmp_path)
    found = embedding_at(clip, range(6))
    assert seen == ["detected", "detected", 2]
    assert [int(vector[0]) for vector in found] == [0, 0, 0, 1, 0, 0]
    again = embedding_at(SeenClip("output", lambda: still, content_hash(still), tmp_path), range(6))
    np.testing.assert_array_equal(again, found)
    assert len(seen) == 3
