"""CASME II: 26 people at 200 frames a second, in colour, coded in nine columns, two of which are blank."""

import re

from megbench.clips.databases.coded import Database
from megbench.clips.databases.folders import Naming

# Frames carry the sheet's own numbers without leading zeros; cropped ones are called reg_img, the challenge's crop_img.
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
