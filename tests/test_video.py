"""Users' pictures and videos of every kind are read, and their faults are reported in one line."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from megbench.clips.folder import ClipFolder
from megbench.core.errors import BenchError
from megbench.core.gif import frames_of as frames_of_durations
from megbench.core.pictures import in_order, minus_signs, missing_numbers, pictures_in, read_picture
from megbench.core.video import frame_rate, read_clip
from megbench.core.video_writing import write_video


def gradient(height=64, width=48):
    """Return a smooth picture with a different colour in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) % 256], -1).astype(np.uint8)


def moving(count=5, height=64, width=48):
    return np.stack([np.roll(gradient(height, width), k, axis=1) for k in range(count)])


def frames_folder_of(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(gradient()).save(folder / name)
    return folder


def frames_of(path):
    return np.stack(list(read_clip(path)))


def test_lossless_video_returns_every_pixel(tmp_path):
    frames = moving()
    write_video(tmp_path / "a.mp4", frames, 100.0, lossless=True)
    assert np.array_equal(frames_of(tmp_path / "a.mp4"), frames)
    assert frame_rate(tmp_path / "a.mp4") == 100.0


def test_pictures_are_ordered_by_their_numbers(tmp_path):
    for name in ("img100.png", "img99.png", "img9.png", "img10.png"):
        Image.fromarray(gradient()).save(tmp_path / name)
    assert [path.name for path in pictures_in(tmp_path)] == ["img9.png", "img10.png", "img99.png", "img100.png"]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True))
def test_any_numbers_sort_as_numbers(tmp_path_factory, numbers):
    folder = tmp_path_factory.mktemp("numbers")
    for number in numbers:
        (folder / f"f{number}.png").touch()
    assert [path.stem for path in pictures_in(folder)] == [f"f{number}" for number in sorted(numbers)]


@given(
    st.sampled_from(["", "f", "f_", "f ", "f-", "2026-11-30 f"]), st.integers(-40, 40), st.integers(2, 60), st.data()
)
def test_negative_numbers_sort_as_numbers(prefix, first, count, data):
    wide = data.draw(st.sampled_from(["d", "03d", "+d"]))
    dash = data.draw(st.sampled_from("-\u2212"))
    names = [
        f"{prefix}{number:{wide}}.png".replace(f"{prefix}-", f"{prefix}{dash}")
        for number in range(first, first + count)
    ]
    paths = [Path(name) for name in data.draw(st.permutations(names))]
    if first + count > 0 or first >= 0:  # otherwise, the dash may separate the number from the name
        assert [path.name for path in in_order(paths)] == names
        assert missing_numbers(paths) == []
    else:
        assert not minus_signs(paths)


def test_a_dash_that_separates_numbers_is_no_minus_sign(tmp_path):
    names = [f"smile-1-{number}.png" for number in range(1, 13)]
    assert [path.name for path in in_order(map(Path, reversed(names)))] == names
    for number in range(1, 4):
        Image.fromarray(gradient()).save(tmp_path / f"-{number}.png")
    with pytest.raises(BenchError, match=r"unclear whether the dash in '-1\.png' is a minus sign\. Rename"):
        frames_of(tmp_path)


def test_pictures_whose_numbers_do_not_tell_the_order_are_refused_or_told(tmp_path, capsys):
    names = ["img (10).png", "img (2).png", "img.png"]
    copies = frames_folder_of((tmp_path / "a" / "copies"), names)
    assert [path.name for path in pictures_in(copies)] == names[::-1]
    covered = frames_folder_of((tmp_path / "b" / "covered"), ["1.png", "2.png", "cover.png"])
    with pytest.raises(BenchError, match=r"'cover\.png' has no number, unlike other pictures\. Number it or remove it"):
        frames_of(covered)
    frames_folder_of(tmp_path / "c" / "named", ["onset.png", "apex.png"])
    ClipFolder(tmp_path / "c", tmp_path).recordings()
    assert "no numbers in the names; the pictures are read in the order apex.png, onset.png" in capsys.readouterr().err


def gif(path, pictures, **options):
    images = [Image.fromarray(picture).quantize(64) for picture in pictures]
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


@settings(max_examples=25)
@given(st.integers(1, 30), st.lists(st.integers(1, 5), min_size=2, max_size=5).filter(lambda times: 1 in times))
def test_a_picture_of_a_gif_that_lasts_n_of_the_shortest_durations_is_n_frames(tmp_path_factory, hundredths, times):
    path = gif(
        tmp_path_factory.getbasetemp() / "law.gif",
        moving(len(times), 16, 12),
        duration=[10 * hundredths * count for count in times],
    )
    read = frames_of(path)
    changes = np.flatnonzero((read[1:] != read[:-1]).any((1, 2, 3))) + 1
    assert len(read) == sum(times)
    assert changes.tolist() == np.cumsum(times)[:-1].tolist()
    assert frame_rate(path) == pytest.approx(100 / hundredths)


def test_durations_that_do_not_divide_are_rounded_and_none_is_one_frame():
    assert frames_of_durations([30, 40, 30]) == [1, 1, 1]  # thirds of a tenth of a second, as encoders write them
    assert frames_of_durations([0, 0, 0]) == [1, 1, 1]
    assert frames_of_durations([0, 20, 50]) == [1, 1, 2]


def test_gifs_faster_than_a_hundredth_are_read_whole(tmp_path):
    """Their delays are written as 0, and FFmpeg reads such a file as one picture."""
    noise = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    images = [Image.fromarray(picture) for picture in noise]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=5)
    assert frames_of(tmp_path / "a.gif").shape == noise.shape
    assert frame_rate(tmp_path / "a.gif") is None
    data = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "b.gif").write_bytes(data[: len(data) // 2])
    with pytest.raises(BenchError, match=r"b\.gif: the GIF cannot be read \("):
        frames_of(tmp_path / "b.gif")
    (tmp_path / "disguised.mp4").write_bytes(data)
    assert len(frames_of(tmp_path / "disguised.mp4")) == 5


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_lossless_pictures_are_read_exactly(tmp_path, suffix):
    Image.fromarray(gradient()).save(tmp_path / f"a{suffix}")
    assert np.array_equal(read_picture(tmp_path / f"a{suffix}"), gradient())


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned, so rotate the picture clockwise by 90 degrees
    Image.fromarray(gradient()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "a.png"), np.rot90(gradient(), -1))


def test_sixteen_bits_become_eight(tmp_path):
    grey = gradient()[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png"), np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_every_kind_of_picture_becomes_rgb(tmp_path, mode):
    suffix = ".tif" if mode == "CMYK" else ".png"
    Image.fromarray(gradient()).convert(mode).save(tmp_path / f"a{suffix}")
    expected = np.array(Image.open(tmp_path / f"a{suffix}").convert("RGB"))
    picture = read_picture(tmp_path / f"a{suffix}")
    assert picture.shape == (64, 48, 3)
    assert np.array_equal(picture, expected)


def test_odd_sizes_of_a_video_are_read(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 33, 31, "bgr0"
        for frame in moving(3, 31, 33):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    assert np.array_equal(frames_of(tmp_path / "a.mkv"), moving(3, 31, 33))


def test_a_rotated_video_is_shown_upright(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, moving(), 25.0, lossless=True)
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # nine numbers after version, flags, times, ids, layer and volume
    turn = (0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)  # 90 degrees clockwise
    data[matrix : matrix + 36] = struct.pack(">9i", *turn)
    path.write_bytes(data)
    assert np.array_equal(frames_of(path), np.rot90(moving(), -1, axes=(1, 2)))


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((-1, 0, 0, 1), lambda frames: frames[:, :, ::-1]),
        ((1, 0, 0, -1), lambda frames: frames[:, ::-1]),
        ((0, 1, 1, 0), lambda frames: frames.transpose(0, 2, 1, 3)),
        ((0, -1, -1, 0), lambda frames: frames[:, ::-1, ::-1].transpose(0, 2, 1, 3)),
        ((-1, 0, 0, -1), lambda frames: frames[:, ::-1, ::-1]),
    ],
)
def test_a_mirrored_video_is_shown_mirrored(tmp_path, matrix, shown):
    """Front cameras save such videos, which would otherwise have left and right exchanged or be upside down."""
    path = tmp_path / "a.mp4"
    write_video(path, moving(), 25.0, lossless=True)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (number << 16 for number in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    assert np.array_equal(frames_of(path), shown(moving()))


def whole_video(tmp_path):
    write_video(tmp_path / "whole.mp4", moving(20), 25.0)
    return (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 123\n",
            "a Git LFS pointer to a file of 123 b",
        ),
        ("<!DOCTYPE html><title>Quota exceeded</title>", r"a web page \('Quota exceeded'\)"),
    ],
)
def test_what_lies_in_the_place_of_a_video_or_picture_is_named(tmp_path, text, said):
    for name, read, kind in (("a.mp4", frames_of, "video"), ("a.png", read_picture, "picture")):
        (tmp_path / name).write_text(text)
        with pytest.raises(BenchError, match=rf"{name} is not a {kind} but {said}"):
            read(tmp_path / name)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_video_is_an_error(tmp_path, share):
    data = whole_video(tmp_path)
    (tmp_path / "cut.mp4").write_bytes(data[: int(share * len(data))])
    with pytest.raises(BenchError, match=r"cut\.mp4: the video is truncated or damaged"):
        frames_of(tmp_path / "cut.mp4")


def test_a_video_whose_index_comes_first_is_found_truncated(tmp_path):
    """The index lists frames that lie beyond the end of the file."""
    import av

    write_video(tmp_path / "whole.mp4", moving(20), 25.0)
    options = {"movflags": "faststart"}
    with (
        av.open(str(tmp_path / "whole.mp4")) as source,
        av.open(str(tmp_path / "fast.mp4"), "w", options=options) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = (tmp_path / "fast.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert len(frames_of(tmp_path / "fast.mp4")) == 20
    (tmp_path / "cut.mp4").write_bytes(data[:-50])
    with pytest.raises(BenchError, match="truncated"):
        frames_of(tmp_path / "cut.mp4")


def test_frames_of_different_sizes_are_an_error(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "1.png")
    Image.fromarray(gradient(30, 40)).save(tmp_path / "2.png")
    with pytest.raises(BenchError, match="different sizes: the first is 48x64, but number 2 is 40x30"):
        frames_of(tmp_path)


@pytest.mark.parametrize(("count", "message"), [(0, "no frames"), (1, "only one frame")])
def test_a_clip_needs_two_frames(tmp_path, count, message):
    for index in range(count):
        Image.fromarray(gradient()).save(tmp_path / f"{index}.png")
    with pytest.raises(BenchError, match=message):
        list(read_clip(tmp_path))


def test_too_many_frames_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("megbench.core.video.MAX_FRAMES", 3)
    write_video(tmp_path / "a.mp4", moving(4), 25.0)
    with pytest.raises(BenchError, match="more than 3 frames"):
        frames_of(tmp_path / "a.mp4")


@pytest.mark.parametrize("copy", ["3.jpg", "03.png", "3_mask.png", "3 (1).png", "3 - Copy.png", "3 copy 2.png"])
def test_pictures_with_one_number_are_refused(tmp_path, copy):
    folder = frames_folder_of(tmp_path, [f"{k}.png" for k in range(1, 13)])
    assert len(frames_of(folder)) == 12
    Image.fromarray(gradient()).save(folder / copy)
    with pytest.raises(BenchError, match=r"have the same number.*Keep one picture for each frame"):
        frames_of(folder)


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png", "c.png"],
        ["s1_a.png", "s1_b.png"],
        ["frame.png", "frame (1).png", "frame (2).png"],
        ["0.033.png", "1.033.png", "2.033.png"],
    ],
)
def test_names_that_number_frames_otherwise_are_read(tmp_path, names):
    assert len(frames_of(frames_folder_of(tmp_path, names))) == len(names)


@pytest.mark.parametrize(
    ("numbers", "lacking"),
    [
        ([1, 2, 3], []),
        ([1, 2, 4, 7], ["3", "5 to 6"]),
        ([0, 2, 4, 8], ["6"]),
        ([0, 2, 4, 400], ["6 to 398"]),
        ([-2, -1, 0, 3], ["1 to 2"]),
        ([0, 33, 67, 100], []),
        ([1, 2, 10**30], []),
    ],
)
def test_numbers_that_pictures_lack(numbers, lacking):
    assert missing_numbers([Path(f"cam1_{number}.png") for number in numbers]) == lacking


def test_an_empty_picture_is_named(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(BenchError, match=r"a\.png is empty\. Replace it\."):
        read_picture(tmp_path / "a.png")


def test_an_archive_named_as_a_video_is_named(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"PK\3\4 and so on")
    with pytest.raises(BenchError, match=r"a\.mp4 is a ZIP archive, not a video\. Pass a video"):
        frames_of(tmp_path / "a.mp4")


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_picture_is_an_error(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(BenchError, match=r"a\.png"):
        read_picture(tmp_path / "a.png")


def test_a_cut_off_picture_is_an_error(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(BenchError, match="cannot be read"):
        read_picture(tmp_path / "a.jpg")


def test_a_missing_video_and_one_without_pictures_are_errors(tmp_path):
    with pytest.raises(BenchError, match="does not exist"):
        list(read_clip(tmp_path / "nowhere.mp4"))
    (tmp_path / "playlist.mp4").write_text("#EXTM3U\n#EXT-X-VERSION:3\n/etc/passwd\n")
    with pytest.raises(BenchError):
        list(read_clip(tmp_path / "playlist.mp4"))


@pytest.mark.parametrize(("name", "codec"), [("clip.mkv", "libx264"), ("clip.webm", "libvpx"), ("clip.avi", "mpeg4")])
def test_a_truncated_matroska_webm_or_avi_video_is_an_error(tmp_path, name, codec):
    path = tmp_path / name
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in moving(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    assert len(frames_of(path)) == 30
    data = path.read_bytes()
    for share in (0.6, 0.9):
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(BenchError, match="truncated"):
            frames_of(path)
