#!/bin/sh
# FFmpeg writes the pixel aspect ratio of a video into PNG and JPEG pictures the wrong way round, that is, the inverse
# of what both formats define, but correctly into TIFF pictures.
#
# Frames extracted from anamorphic video (in PAL, the ratio of a pixel's width to its height is 16:15) should have
# DENSITIES in the ratio 15:16, because fewer wide pixels fit into the same width. PNG's pHYs chunk (pixels per unit, X
# then Y) and JPEG's JFIF header (ITU-T T.871: with units 0, pixel aspect width:height = Vdensity:Hdensity) contain
# 16:15 instead. FFmpeg's TIFF (XResolution 72, YResolution 76.8) is right. A reader that follows the specifications
# therefore distorts the frames twice as much instead of correcting them, and a reader that follows FFmpeg misreads
# files from all other programs.
# Seen with PyAV 18.1.0 (FFmpeg 8: libavcodec 62.28); the pictures were read by Pillow 13.0.0.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 Pillow==13.0.0 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys
from fractions import Fraction

import av
import numpy as np
import PIL
from PIL import Image

ASPECT = Fraction(16, 15)  # width : height of a pixel
print(f"PyAV {av.__version__}, libavcodec {av.library_versions['libavcodec']}, Pillow {PIL.__version__}")
print(f"pixels {ASPECT.numerator}:{ASPECT.denominator}, so densities should be 15:16 = {15 / 16:.4f}")
found = {}
for name, codec, layout in (("a.png", "png", "rgb24"), ("a.jpg", "mjpeg", "yuvj420p"), ("a.tif", "tiff", "rgb24")):
    with av.open(name, "w", format="image2") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 720, 576, layout
        stream.codec_context.sample_aspect_ratio = ASPECT
        picture = av.VideoFrame.from_ndarray(np.full((576, 720, 3), 128, np.uint8), format="rgb24")
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with Image.open(name) as image:
        # Pillow passes on the headers' own numbers: pHYs with unit 0, JFIF with units 0, TIFF's two resolutions.
        stated = tuple(map(float, image.info.get("aspect") or image.info.get("dpi") or image.info["jfif_density"]))
    found[name] = stated[0] / stated[1]
    print(f"{name}: header says {stated[0]:g} across, {stated[1]:g} down: {found[name]:.4f}")
as_seen = abs(found["a.png"] - 16 / 15) < 1e-3 and abs(found["a.jpg"] - 16 / 15) < 1e-3
as_seen = as_seen and abs(found["a.tif"] - 15 / 16) < 1e-3
print("as described: PNG and JPEG inverted, TIFF right" if as_seen else "CHANGED: no longer as described")
sys.exit(not as_seen)
PYTHON
