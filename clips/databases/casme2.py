"""CASME II: 26 people at 200 frames per second, in colour, with a coding sheet of nine columns, two of them blank."""

import re

from megbench.clips.databases.coded import Database
from megbench.clips.databases.folders import Naming

# Frames are numbered as in the sheet, without leading zeros. Cropped frames are named reg_img, those of the challenge
# crop_img.
CASME2 = Database(
    name="casme2",
    title="CASME II",
    fps=200.0,
    naming=Naming(
        subject=re.compile(r"sub(\d+)", re.IGNORECASE),
        clip=re.compile(r"EP\d.*", re.IGNORECASE),
        frame=re.compile(r"(?:reg_|crop_)?img(\d+)", re.IGNORECASE),
    ),
    subject="sub{:02d}".format,
)
