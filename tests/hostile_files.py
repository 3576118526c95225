"""Hostile files made in memory that must not harm the suite: bombs, false headers, truncated and disguised files."""

import csv
import functools
import io
import json
import os
import pickle
import struct
import tempfile
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from openpyxl import Workbook
from PIL import Image
from safetensors.torch import save as safetensors
from skimage.data import astronaut

from megbench.core.video_writing import write_video

FACE = np.asarray(Image.fromarray(astronaut()).resize((384, 384)))
HEAD = ["Team id", "dataset", "Emotion", "gender", "Upper", "lower", "noise"]
SCORE = ["fomm", "CASME2", "Negative", "asian female", 1, 2, 3]
CODED = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Estimated Emotion"]
CLIP = ["01", "EP01_01", 1, 2, 3, "disgust"]


# Pictures


def picture(kind="PNG", image=FACE, mode="", **options):
    """Return a picture file."""
    options = {"compress_level": 1} | options if kind == "PNG" else options
    return saved(kind, image.tobytes(), image.shape, image.dtype.str, mode, tuple(options.items()))


@functools.lru_cache(maxsize=100)
def saved(kind, data, shape, dtype, mode, options):
    """Return the bytes of a picture file; cached because most cases use the same few pictures."""
    file = io.BytesIO()
    made = Image.fromarray(np.frombuffer(data, dtype).reshape(shape))
    (made.convert(mode) if mode else made).save(file, kind, **dict(options))
    return file.getvalue()


def png(width, height, data=b""):
    """Return a PNG whose header states the given size, whatever its data."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def strip():
    """Return a picture that is 40 million pixels wide and one pixel high."""
    return png(40_000_000, 1, zlib.compress(bytes(40_000_001)))


def turned():
    """Return the face lying on its side, with the corresponding orientation tag."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture("JPEG", np.ascontiguousarray(np.rot90(FACE)), quality=95, exif=exif.tobytes())


def deep_tiff(width=384, height=384):
    """Return a 16-bit RGB TIFF, which Pillow cannot read; its header may state a false size."""
    body = (FACE.astype("<u2") * 257).tobytes()
    tags = [(256, 4, width), (257, 4, height), (258, 3, 0), (259, 3, 1), (262, 3, 2), (273, 4, 0), (277, 3, 3)]
    tags += [(278, 4, height), (279, 4, len(body))]
    behind = 8 + 2 + 12 * len(tags) + 4
    places = {258: behind, 273: behind + 6}
    entries = b"".join(
        struct.pack("<HHII", tag, kind, 3 if tag == 258 else 1, places.get(tag, value)) for tag, kind, value in tags
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + struct.pack("<3H", *[16] * 3) + body


RADIANCE = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 200000 +X 200000\n\2\2"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


# Videos


def shaking(count=4, size=384):
    """Return frames of the moving face."""
    return np.stack([np.roll(FACE[:size, :size], 2 * k, axis=1) for k in range(count)])


def video(frames=None):
    """Return a lossless MP4."""
    file = io.BytesIO()
    write_video(file, shaking() if frames is None else frames, 25.0, lossless=True)
    return file.getvalue()


def encoded(frames, suffix, codec="ffv1", times=None):
    """Return a video of any size, with a variable frame rate if `times` (milliseconds) are given."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"made{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = frames.shape[1:3] if len(frames) else (64, 64)
            stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
            container.start_encoding()
            for index, frame in enumerate(frames):
                made = av.VideoFrame.from_ndarray(frame, format="rgb24")
                made.time_base, made.pts = Fraction(1, 1000), (times[index] if times else 40 * index)
                container.mux(stream.encode(made))
            container.mux(stream.encode(None))
        return path.read_bytes()


def gif():
    """Return a GIF of the moving face."""
    file = io.BytesIO()
    first, *others = map(Image.fromarray, shaking())
    first.save(file, "GIF", save_all=True, append_images=others, duration=40)
    return file.getvalue()


def interlaced():
    """Return a camcorder's stream whose frames are flagged as interlaced."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme", "top": "1"})
        stream.height, stream.width = shaking().shape[1:3]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 20_000_000
        for frame in shaking():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def rotated():
    """Return a video as recorded by a phone: the frames lie on their side, and the header states the rotation."""
    data = bytearray(video(np.ascontiguousarray(np.rot90(shaking(), axes=(1, 2)))))
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 384 << 16, 0, 1 << 30)
    return bytes(data)


def lying_length():
    """Return a video whose header claims a million seconds."""
    data = bytearray(video())
    for box in (b"mvhd", b"mdhd"):
        place = data.index(box) + 4 + 16
        data[place : place + 4] = struct.pack(">I", 2_000_000_000)
    return bytes(data)


# Weights


class Evil:
    """An object whose pickle creates a folder if it is loaded unsafely."""

    def __reduce__(self):
        return os.mkdir, ("was_here",)


def checkpoint(**content):
    """Return a torch file with a generator and a key-point detector, or with the given content."""
    file = io.BytesIO()
    torch.save(content or {"generator": {"final.weight": torch.ones(3)}, "kp_detector": {"a": torch.ones(1)}}, file)
    return file.getvalue()


def code():
    """Return a checkpoint that would run code when loaded."""
    return pickle.dumps({"generator": Evil()}, protocol=2)


def stretched():
    """Return a checkpoint with a tensor that claims 10^15 entries but stores only one."""
    return checkpoint(generator={"w": torch.ones(1).expand(10**5, 10**5, 10**5)}, kp_detector={"a": torch.ones(1)})


def sparse():
    """Return a checkpoint with a sparse tensor."""
    return checkpoint(generator={"w": torch.zeros(10, 10).to_sparse()}, kp_detector={"a": torch.ones(1)})


def meta():
    """Return a checkpoint with a tensor on the meta device, which has no values."""
    return checkpoint(generator={"w": torch.ones(3, device="meta")}, kp_detector={"a": torch.ones(1)})


def nan():
    """Return a checkpoint whose weights are NaN."""
    return checkpoint(generator={"w": torch.tensor([float("nan")])}, kp_detector={"a": torch.ones(1)})


def swelling(name, size, content=None):
    """Return a ZIP file with an entry `name` that unpacks to `size` zeros, and the entries of `content`, if given."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for other in zipfile.ZipFile(io.BytesIO(content)).namelist() if content else ():
            archive.writestr(other, zipfile.ZipFile(io.BytesIO(content)).read(other))
        with archive.open(name, "w", force_zip64=True) as entry:
            for _ in range(size // 10_000_000):
                entry.write(bytes(10_000_000))
    return file.getvalue()


def tensors(value=None):
    """Return a valid safetensors file with one entry."""
    return safetensors({"generator.final.weight": torch.ones(3) if value is None else value})


def header(offsets=(0, 12), dtype="F32", shape=(3,), length=None, more=None):
    """Return a safetensors file with the given header, valid or not."""
    entries = {"generator.w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}, **(more or {})}
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(12)


# Sheets


def workbook(*rows, sheets=1, merge="", far=None):
    """Return an XLSX file with these rows; `far` adds a cell far outside them."""
    book = Workbook()
    for number in range(1, sheets):
        book.create_sheet(f"s{number}")
    for row in rows:
        book.active.append(row)
    if merge:
        book.active.merge_cells(merge)
    if far:
        book.active[far] = 1
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def lines(*rows, encoding="utf-8"):
    """Return a CSV file with these rows."""
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode(encoding)


def page(*rows, head="", encoding="gb2312"):
    """Return an HTML page as a spreadsheet program saves it."""
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<html><meta charset={encoding}>{head}<table>{cells}</table></html>".encode(encoding)


def doctype():
    """Return a workbook whose XML would read another file, in an encoding that hides the reference."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        text = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
        archive.writestr("xl/workbook.xml", text.encode("utf-16"))
    return file.getvalue()


def slip():
    """Return a kit archive that would unpack outside its folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../was_here", "x")
    return file.getvalue()
