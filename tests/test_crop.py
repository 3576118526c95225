"""Faces keep their shape: crops are square in display proportions and have equal scales in both directions."""

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut

from megbench.clips.folder import Recording, cut_frames, template
from megbench.clips.portraits import _cut, _fit
from megbench.core.errors import BenchError
from megbench.core.frames import grey
from megbench.core.pictures import stated_density
from megbench.core.video import first_size, pixel_aspect, read_clip
from megbench.faces.crop import crop, display_size, face_square, square_at, whole_square
from megbench.faces.landmarks import crop_box, landmarks

# 512 x 512; the face is 88 pixels wide, its centre near (223, 126).
PHOTO = astronaut()
ASPECTS = st.one_of(st.just(1.0), st.floats(0.25, 4.0), st.sampled_from([16 / 15, 64 / 45, 4 / 3, 8 / 9, 404 / 405]))


@st.composite
def faces(draw, largest=3000):
    """Draw a picture's columns and rows, its pixel aspect, and a face box in display pixels that overlaps it."""
    columns, rows, aspect = draw(st.integers(1, largest)), draw(st.integers(1, largest)), draw(ASPECTS)
    width = round(columns * aspect)
    side = draw(st.integers(1, 1 + round(1.3 * max(width, rows))))
    left, top = draw(st.integers(1 - side, max(width - 1, 0))), draw(st.integers(1 - side, rows - 1))
    return columns, rows, aspect, (left, top, left + side, top + side)


@given(faces())
def test_a_face_gets_a_square_within_the_picture_or_around_it(case):
    columns, rows, aspect, face = case
    size = columns * aspect, float(rows)
    square = face_square(face, size)
    side = square[2] - square[0]
    assert side == square[3] - square[1]
    assert 1 <= side <= max(round(max(size)), 1)
    for start, extent, low, high in zip(square, size, face, face[2:], strict=False):
        if side < extent:
            assert 0 <= start <= extent - side
        else:  # symmetric padding
            assert abs((start + start + side) - extent) <= 1.001
        if side < round(max(size)):  # the part of the face shown in the picture is inside
            assert start <= max(low, 0)
            assert start + side >= min(high, int(extent))


@pytest.mark.parametrize(
    ("size", "face", "expected"),
    [
        ((256, 256), (30, 40, 220, 230), (0, 0, 256, 256)),  # a square face crop stays unchanged
        ((280, 340), (40, 60, 240, 260), (-30, 0, 310, 340)),  # CASME II
        ((137, 168), (15, 30, 120, 135), (-16, 0, 152, 168)),  # SMIC
        ((350, 622), (45, 150, 305, 410), (-20, 85, 370, 475)),  # a close selfie 9:16
        ((350, 622), (0, 200, 350, 550), (-88, 96, 438, 622)),  # with a face as wide as the picture
        ((350, 466), (45, 30, 305, 290), (-20, 0, 370, 390)),  # a selfie 3:4, the face near the upper edge
        ((640, 480), (-10, -10, 90, 90), (0, 0, 150, 150)),  # corners
        ((640, 480), (550, 400, 650, 500), (490, 330, 640, 480)),
        ((1500, 300), (700, 20, 960, 280), (635, -45, 1025, 345)),  # a panorama
    ],
)
def test_squares_of_everyday_pictures(size, face, expected):
    assert face_square(face, size) == expected


def rectangle(columns, rows, area):
    """Return a grey picture with a lighter rectangle (left, top, right, bottom)."""
    picture = np.full((rows, columns, 3), 80, np.uint8)
    left, top, right, bottom = area
    picture[top:bottom, left:right] = 176
    return picture


@settings(max_examples=80)
@given(faces(largest=400))
def test_both_scales_are_the_same_in_the_pixels(case):
    columns, rows, aspect, face = case
    size = columns * aspect, float(rows)
    square = face_square(face, size)
    scale = 256 / (square[2] - square[0])
    inside = max(square[0], 0) / aspect, max(square[1], 0), min(square[2], size[0]) / aspect, min(square[3], size[1])
    shown = (inside[2] - inside[0]) * aspect * scale, (inside[3] - inside[1]) * scale
    assume(min(shown) > 120 and min(inside[2] - inside[0], inside[3] - inside[1]) > 20)  # enough to measure
    left, right = int(0.9 * inside[0] + 0.1 * inside[2]) + 1, int(0.1 * inside[0] + 0.9 * inside[2])
    top, bottom = int(0.9 * inside[1] + 0.1 * inside[3]) + 1, int(0.1 * inside[1] + 0.9 * inside[3])
    found = crop(rectangle(columns, rows, (left, top, right, bottom)), square, aspect)[..., 0].astype(float) - 80
    middle = (np.array([left + right, top + bottom]) / 2 * [aspect, 1] - square[:2]) * scale
    x, y = middle.astype(int)
    across, down = found[y].sum() / 96 / ((right - left) * aspect), found[:, x].sum() / 96 / (bottom - top)
    assert across / down == pytest.approx(1, abs=0.005)
    assert across == pytest.approx(scale, rel=0.005)
    for line, wanted in ((found[y], middle[0]), (found[:, x], middle[1])):  # the rectangle is in the right place
        assert (line * (np.arange(256) + 0.5)).sum() / line.sum() == pytest.approx(wanted, abs=0.8)


def disc(columns, rows, aspect):
    """Return a picture with pixels of the given aspect, in which a centred disc is round when displayed."""
    y, x = np.mgrid[0:rows, 0:columns] + 0.5
    far = np.hypot(x * aspect - columns * aspect / 2, y - rows / 2)
    weight = np.clip(0.3 * min(columns * aspect, rows) - far + 0.5, 0, 1)[..., None]
    return np.round(60 + 120 * weight * np.ones(3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("columns", "rows", "aspect"),
    [(720, 576, 64 / 45), (720, 480, 8 / 9), (137, 168, 1.0), (576, 1024, 1.0), (300, 90, 1.0), (64, 50, 0.37)],
)
def test_a_disc_stays_round(columns, rows, aspect):
    picture = disc(columns, rows, aspect)
    found = crop(picture, whole_square(display_size(picture, aspect)), aspect)[..., 0].astype(float) - 60
    assert found.shape == (256, 256)
    y, x = np.mgrid[0:256, 0:256] + 0.5
    total = found.sum()
    middle = (found * x).sum() / total, (found * y).sum() / total
    assert middle == pytest.approx((128, 128), abs=128 / max(display_size(picture, aspect)) + 0.3)
    spread = [np.sqrt((found * (axis - at) ** 2).sum() / total) for axis, at in zip((x, y), middle, strict=True)]
    assert spread[0] / spread[1] == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize("side", [256, 100, 400])
def test_square_pictures_are_resized_once_as_ever(side):
    picture = np.ascontiguousarray(PHOTO[:side, :side])
    method = cv2.INTER_AREA if side > 256 else cv2.INTER_CUBIC
    whole = crop(picture, whole_square(display_size(picture)))
    assert np.array_equal(whole, cv2.resize(picture, (256, 256), interpolation=method))
    part = crop(PHOTO, (40, 60, 40 + side, 60 + side))
    assert np.array_equal(part, cv2.resize(PHOTO[60 : 60 + side, 40 : 40 + side], (256, 256), interpolation=method))


def test_padding_repeats_the_border():
    picture = np.ascontiguousarray(PHOTO[:256, 30:200])
    padded = crop(picture, whole_square(display_size(picture)))
    assert np.array_equal(padded[:, 43:213], picture)
    assert (padded[:, :43] == picture[:, :1]).all()
    assert (padded[:, 213:] == picture[:, -1:]).all()


def around(width, height, zoom=1.0):
    """Return a crop of this width and height around the photo's face, after enlarging the photo by `zoom`."""
    large = cv2.resize(PHOTO, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    large = cv2.copyMakeBorder(large, 200, 200, 200, 200, cv2.BORDER_REFLECT)
    x, y = round(223 * zoom) + 200 - width // 2, round(126 * zoom) + 200 - int(0.45 * height)
    return np.ascontiguousarray(large[y : y + height, x : x + width])


def face_shape(picture):
    """Return the ratio of the distance from nose root to chin to that between the eyes; the photo's is 1.76."""
    points = landmarks(grey(picture), "test")
    eyes = points[36:42].mean(0) - points[42:48].mean(0)
    return float(np.linalg.norm(points[27] - points[8]) / np.linalg.norm(eyes))


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(around(175, 311, 1.5), id="selfie 9:16, face three quarters of the width"),
        pytest.param(around(175, 233, 1.5), id="selfie 3:4"),
        pytest.param(around(137, 168, 1.2), id="SMIC"),
        pytest.param(PHOTO[:260, 180:], id="left"),
        pytest.param(PHOTO[:260, :275], id="right"),
        pytest.param(PHOTO[85:], id="top"),
        pytest.param(PHOTO[:172], id="bottom"),
        pytest.param(PHOTO[70:260, 168:], id="corner"),
    ],
)
def test_faces_of_templates_keep_their_shape(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert face_shape(template(tmp_path / "a.png", "a").image) == pytest.approx(1.76, rel=0.05)


def video(path, frames, aspect, turned=False, codec="libx264"):
    """Write a video whose header states this pixel aspect and, if `turned`, a clockwise rotation by 90 degrees."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*aspect)
        for frame in frames:
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    if turned:
        data = bytearray(path.read_bytes())
        matrix = data.index(b"tkhd") + 4 + 40
        data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, height << 16, 0, 1 << 30)
        path.write_bytes(data)
    return path


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("aspect", [(16, 15), (64, 45), (1, 2)])
def test_pixels_that_are_not_square_are_honoured(tmp_path, aspect, turned):
    scene = around(256, 256)
    wide = cv2.resize(scene, (round(256 * aspect[1] / aspect[0] / 2) * 2, 256), interpolation=cv2.INTER_CUBIC)
    stored, said = (np.rot90(wide), aspect[::-1]) if turned else (wide, aspect)
    path = video(tmp_path / "a.mp4", [stored, stored], said, turned)
    assert pixel_aspect(path) == pytest.approx(aspect[0] / aspect[1])
    assert first_size(path) == pytest.approx((256, 256), abs=2)
    frames, framing = cut_frames(Recording(path, "a", "folder", "a"))
    assert framing.box == pytest.approx(crop_box(grey(scene), "scene"), abs=6)
    assert face_shape(frames[0]) == pytest.approx(1.76, rel=0.03)


def test_headers_that_say_nothing_or_nonsense(tmp_path):
    frames = [np.full((48, 64, 3), 90, np.uint8)] * 3
    for aspect in ((0, 1), (1, 1), (1, 200)):  # FFmpeg itself discards the last one
        assert pixel_aspect(video(tmp_path / "a.mp4", frames, aspect)) == 1
    assert pixel_aspect(tmp_path) == 1
    for aspect, said in (((1, 5), "1/5 times as wide as they are high"), ((5, 1), "5 times as wide as they are high")):
        with pytest.raises(BenchError, match=said):
            pixel_aspect(video(tmp_path / "b.mp4", frames, aspect))


def test_pixels_that_change_their_shape_on_the_way_are_an_error(tmp_path):
    frames = [np.full((48, 64, 3), shade, np.uint8) for shade in (40, 60, 80)]
    parts = [video(tmp_path / f"{n}.h264", frames, aspect).read_bytes() for n, aspect in enumerate([(1, 1), (4, 3)])]
    (tmp_path / "a.mkv").write_bytes(b"".join(parts))
    with pytest.raises(BenchError, match="its pixel aspect ratio changes"):
        list(read_clip(tmp_path / "a.mkv"))


def test_densities_of_pictures_are_told_and_not_applied(tmp_path, capfd):
    picture = Image.fromarray(np.ascontiguousarray(around(256, 256)))
    picture.save(tmp_path / "even.png", dpi=(300, 300))
    picture.save(tmp_path / "odd.jpg", dpi=(300, 600), quality=95)
    picture.save(tmp_path / "odd.tif", dpi=(72, 76.8))
    (tmp_path / "broken.png").write_bytes(b"nothing")
    told = [stated_density(tmp_path / name) for name in ("even.png", "odd.jpg", "odd.tif", "broken.png")]
    assert told == ["", "300:600", "72:76.8", ""]
    assert face_shape(template(tmp_path / "odd.jpg", "odd").image) == pytest.approx(1.76, rel=0.03)
    template(tmp_path / "even.png", "even")
    (note,) = capfd.readouterr().err.splitlines()
    assert "odd.jpg" in note
    assert "300:600" in note


def test_a_portrait_that_is_too_narrow_is_padded_and_not_cut_at_the_chin():
    texture = _cut(around(175, 311, 1.5), "selfie")
    face = _fit(texture, "selfie")
    assert face.eye_distance == pytest.approx(0.24 * 256, rel=0.1)
    assert face.landmarks[8, 1] < 0.9 * 256
    assert face_shape(texture) == pytest.approx(1.76, rel=0.03)


def test_large_portraits_are_searched_small_and_cut_from_the_original():
    large = cv2.resize(PHOTO, (2560, 2560), interpolation=cv2.INTER_CUBIC)
    eyes = landmarks(grey(cv2.resize(large, (2048, 2048), interpolation=cv2.INTER_AREA)), "test")[36:48] * 1.25
    side = round(float(np.linalg.norm(eyes[:6].mean(0) - eyes[6:].mean(0))) / 0.24)
    middle = (eyes[:6].mean(0) + eyes[6:].mean(0)) / 2
    square = square_at(middle[0] - 0.5 * side, middle[1] - 0.45 * side, side, (2560, 2560))
    assert np.array_equal(_cut(large, "large"), crop(large, square, size=512))
