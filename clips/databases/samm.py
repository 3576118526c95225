"""SAMM: micro-expressions of 29 people at 200 frames per second, in grey; its sheet begins with 13 lines of notes."""

import re

from megbench.clips.databases.coded import Database
from megbench.clips.databases.folders import Naming

# Frames are named after the subject and the absolute frame number. The padding of numbers differs from clip to clip.
SAMM = Database(
    name="samm",
    title="SAMM",
    fps=200.0,
    naming=Naming(
        subject=re.compile(r"(\d{3})"),
        clip=re.compile(r"\d{3}_\d+_\d+"),
        frame=re.compile(r"\d{3}_(\d+)"),
    ),
    subject="{:03d}".format,
)
