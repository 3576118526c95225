"""Look-alikes of CASME II, SAMM and SMIC on users' disks, with rendered faces, based on the databases' descriptions.

Nothing here is taken from the adapters: names, numbers and irregularities are those of the published layouts. The nine
drivers of MEGC2021 have their true names and frame numbers. There are only a few clips, most of them short, and frames
share files.
"""

import functools
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.personal_basis import personal_basis
from megbench.clips.synthetic.render import Actor
from megbench.faces.facs import ACTION_UNITS, MICRO

# The number of pictures of an expression from onset through apex to offset; a clip's frames share them.
STATES = 5


@functools.cache
def faces(portrait: str) -> tuple[np.ndarray, ...]:
    """Return STATES pictures (256, 256, 3) of a person who smiles slightly and relaxes."""
    actor = Actor(Role(portrait, "lookalike", None).person())
    smile = personal_basis(np.random.default_rng(1))[ACTION_UNITS.index("AU12")] * MICRO * 1.5
    strengths = np.sin(np.pi * np.arange(STATES) / (STATES - 1))
    return tuple(actor.shoot(actor.move(smile * strength)).frame for strength in strengths)


@functools.cache
def coded(portrait: str, size: tuple[int, int], kind: str, grey: bool = False) -> tuple[bytes, ...]:
    """Return picture files of the same person in the middle of a room, or of the empty room if no portrait is given."""
    room = np.random.default_rng(5).normal(90, 4, (size[1], size[0], 3))
    files = []
    for face in faces(portrait) if portrait else [None] * STATES:
        picture = room.clip(0, 255).astype(np.uint8)
        if face is not None:
            top, left = (size[1] - 256) // 2, (size[0] - 256) // 2
            picture[top : top + 256, left : left + 256] = face
        file = io.BytesIO()
        image = Image.fromarray(picture)
        (image.convert("L") if grey else image).save(file, kind, **({"quality": 92} if kind == "JPEG" else {}))
        files.append(file.getvalue())
    return tuple(files)


def frames(folder: Path, names: list[str], files: tuple[bytes, ...]) -> None:
    """Write a clip's frames; frames of the same state are hard links to one file."""
    folder.mkdir(parents=True)
    written: dict[int, Path] = {}
    for index, name in enumerate(names):
        state = round(index * (STATES - 1) / max(len(names) - 1, 1))
        if state in written:
            os.link(written[state], folder / name)
        else:
            written[state] = folder / name
            (folder / name).write_bytes(files[state])


def between(pattern: str, first: int, last: int, without: tuple[int, ...] = ()) -> list[str]:
    return [pattern.format(number) for number in range(first, last + 1) if number not in without]


def sheet(path: Path, tables: dict[str, list[list[object]]]) -> None:
    with pd.ExcelWriter(path) as writer:
        for title, rows in tables.items():
            pd.DataFrame(rows, dtype=object).to_excel(writer, sheet_name=title, header=False, index=False)


CASME2_HEADER = [
    "Subject", "Filename", None, "OnsetFrame", "ApexFrame", "OffsetFrame", None, "Action Units", "Estimated Emotion",
]  # fmt: skip
# For each row of the sheet: subject, file name, onset, apex, offset, action units, emotion.
CASME2_ROWS = {
    0: ("01", "EP19_06f", 36, 71, 161, "4+5+L10", "disgust"),  # a driver
    1: ("19", "EP01_01f", 121, 189, 220, 12, "happiness"),  # a driver whose file name another subject's clip shares
    2: ("02", "EP01_01f", 96, 100, 104, "L14+L15", "repression"),  # its frame numbers grow from two digits to three
    3: ("17", "EP01_13", 76, 134, 166, 2, "surprise"),  # a driver
    4: ("04", "EP12_01f", 10, "/", 14, "?", "others"),  # an apex that is neither coded nor estimated
    29: ("05", "EP03_06", 276, "/", 281, "1+R2+25", "surprise"),  # an apex that MEB estimated: 279
    60: ("06", "EP15_02", 76, "/", 61, "4+L10", "disgust"),  # its offset is before its onset; it should be 91
    61: ("07", "EP06_01", 20, 23, 27, "R12", "happiness"),  # two frames are missing on disk
    62: ("08", "EP12_07f", 30, 32, 35, 4, "fear"),  # shows no face
    63: ("09", "EP02_02f", 40, 90, 45, 4, "sadness"),  # an apex outside the clip
}


def casme2(root: Path) -> Path:
    """Write CASME II: the selected raw frames, some of them also cropped, and two versions of the sheet."""
    raw = root / "CASME2_RAW_selected"
    for subject, name, onset, _, offset, _, _ in CASME2_ROWS.values():
        last = max(int(offset), onset + 15 if name == "EP15_02" else 0)
        gaps = (22, 25) if name == "EP06_01" else ()
        portrait = "" if name == "EP12_07f" else "hopper" if int(subject) % 2 else "astronaut"
        names = between("img{}.jpg", onset, last, gaps)
        frames(raw / f"sub{subject}" / name, names, coded(portrait, (640, 480), "JPEG"))
    (raw / "sub01" / "Desktop - Shortcut.lnk").touch()
    (raw / "sub01" / "EP19_06f" / "notes.txt").touch()
    frames(raw / "sub03" / "EP07_01", between("img{}.jpg", 1, 4), coded("hopper", (640, 480), "JPEG"))  # in no sheet
    cropped = between("reg_img{}.jpg", 36, 40)
    frames(root / "Cropped" / "sub01" / "EP19_06f", cropped, coded("hopper", (280, 340), "JPEG"))

    rows = [_casme2_row(number, CASME2_ROWS.get(number), int) for number in range(66)]
    old = [_casme2_row(number, CASME2_ROWS.get(number), str) for number in range(66)]
    others = {"Sheet2": [["naming rule", "EP"]], "Sheet3": [[None]]}
    sheet(root / "CASME2-coding-20140508.xlsx", {"Sheet1": [CASME2_HEADER, *old], **others})
    sheet(root / "CASME2-coding-20190701.xlsx", {"Sheet1": [CASME2_HEADER, *rows], **others})
    (root / "CASME2_label_Ver_2.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    return root


def _casme2_row(number: int, row: tuple | None, kind: type) -> list[object]:
    """Return a row of the sheet; rows that stand for the rest of the database have no frames here."""
    subject, name, onset, apex, offset, units, emotion = row or ("26", f"EP99_{number:02d}", 1, 5, 9, 4, "others")
    return [kind(subject), name, None, onset, apex, offset, None, units, emotion]


SAMM_HEADER = [
    "Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
    "Action Units", "Estimated Emotion", "Objective Classes", "Notes",
]  # fmt: skip
# For each row: subject, file name, onset, apex, offset, action units, emotion, and the digits of frame numbers.
SAMM_ROWS = {
    0: ("006", "006_1_2", 5562, 5564, 5567, "12A+ref(24)", "Anger", 5),
    1: (18, "018_3_1", 1405, 1456, 1500, "A9E+ref(10)", "Disgust", 4),  # a driver
    2: ("022", "022_3_3", 3659, 3683, 3697, "7C+A12B", "Happiness", 4),  # a driver
    3: ("007", "007_7_1", 7030, 7056, 7070, "5B+24", "Surprise", 4),  # a driver
    4: ("011", "011_2_1", 100, 103, 106, "R12 or R14", "Other", 4),
    5: ("011", "011_2_2", 200, 203, 206, "(R6 or R12)+R15", "Others", 4),
    56: ("014", "014_6_1", 5734, 5736, 5379, "12+15 ", "Contempt", 4),  # an offset whose digits are swapped
    125: ("032", "032_3_1", 1103, None, 1107, "R14+17+soft focus", "Fear", 5),  # an apex that MEB estimated: 1105
    132: ("034", "034_3_2", 4943, None, 4947, "7B+56", "Other", 4),  # likewise: 4945
    133: ("035", "035_7_2", 5128, None, 5132, "R6A+R12", "Anger", 4),  # likewise: 5130
}


def samm(root: Path) -> Path:
    """Write SAMM: grey frames, and a sheet that begins with 13 lines of notes."""
    for _, name, onset, _, offset, _, _, width in SAMM_ROWS.values():
        last = 5739 if name == "014_6_1" else offset
        names = between(f"{name[:3]}_{{:0{width}d}}.jpg", onset, last)
        frames(root / name[:3] / name, names, coded("hopper", (640, 480), "JPEG", grey=True))
    notes = [[f"Note {number}: see the paper"] + [None] * 11 for number in range(1, 14)]
    rows = []
    for number in range(135):
        subject, name, onset, apex, offset, units, emotion, _ = SAMM_ROWS.get(
            number, ("035", f"035_9_{number}", 1, 5, 9, 4, "Anger", 4)
        )
        rows.append([subject, name, 1, onset, apex, offset, 99, "Micro - 1/2", units, emotion, 7, None])
    workbook = {"MACRO_ONLY": [*notes, SAMM_HEADER], "MICRO_ONLY": [*notes, SAMM_HEADER, *rows]}
    sheet(root / "SAMM_Micro_FACS_Codes_v2.xlsx", workbook)
    return root


# Camera, subject, clip, first and last frame.
SMIC_CLIPS = [
    ("HS", "s11", "s11_ne_02", 514569, 514599),  # a driver
    ("HS", "s3", "s3_po_05", 304630, 304659),  # a driver
    ("HS", "s20", "s20_sur_01", 17597115, 17597152),  # a driver, whose numbers have eight digits
    ("HS", "s1", "s1_ne_01", 998, 1003),
    ("VIS", "s11", "s11_ne_02", 4100, 4104),
    ("NIR", "s11", "s11_ne_02", 7200, 7204),
]
SMIC_EMOTIONS = {"ne": "negative", "po": "positive", "sur": "surprise"}


def smic(root: Path) -> Path:
    """Write SMIC: raw frames of three cameras, a clip without a micro-expression, a cropped clip, and no sheet."""
    for camera, subject, clip, first, last in SMIC_CLIPS:
        folder = root / "SMIC_all_raw" / camera / subject / "micro" / SMIC_EMOTIONS[clip.split("_")[1]] / clip
        files = coded("astronaut", (640, 480), "BMP")
        frames(folder, between("image{:06d}.bmp", first, last), files)
    still = root / "SMIC_all_raw" / "HS" / "s1" / "non_micro" / "s1_ne_07"
    frames(still, between("image{:06d}.bmp", 1, 3), coded("astronaut", (640, 480), "BMP"))
    cropped = root / "SMIC_all_cropped" / "HS" / "s1" / "micro" / "negative" / "s1_ne_01"
    frames(cropped, between("reg_image{:06d}.bmp", 998, 1003), coded("astronaut", (256, 256), "BMP"))
    return root


def smic_e(root: Path) -> Path:
    """Write SMIC-E: clips longer than the expression, subjects with leading zeros, and one sheet per camera."""
    for camera, first, last in (("HS", 304640, 304659), ("VIS", 76150, 76159), ("NIR", 76170, 76179)):
        folder = root / "SMIC-E_raw image" / f"{camera}_long" / f"SMIC-{camera}-E" / "s03" / "s03_po_05"
        frames(folder, between("image{:06d}.jpg", first, last), coded("astronaut", (640, 480), "JPEG"))
    header = ["Subject", "Filename", "OnsetF", "ApexF", "OffsetF", "Emotion", "OnsetF2", "OffsetF2"]
    rows = [
        ["s03", "s03_po_05", 304650, 304654, 304660, "po", None, None],  # the offset is one beyond the last file
        ["s04", "s04_ne_01", "see notes", 12, 20, "ne", "-", "-"],
        [None] * 8,
        [" ", *[None] * 7],  # looks empty
    ]
    older = ["s03", "s03_po_05", 304655, 304656, 304658, "po", None, None]
    sheet(
        root / "SMIC-HS-E_annotation.xlsx",
        {"Sheet1": [header, older]},
    )
    sheet(root / "SMIC-HS-E_annotation_2019.xlsx", {"Sheet1": [header, *rows]})
    for name, first in (("SMIC_VIS_E_annotation.xlsx", 76152), ("SMIC-NIR-E_annotation.xlsx", 76172)):
        coded_there = ["s03", "s03_po_05", first, first + 2, first + 4, "po", None, None]
        sheet(root / name, {"Sheet1": [header, coded_there]})
    return root


def table(root: Path) -> Path:
    """Write a database that the suite does not know: a table, folders of frames and a video."""
    from megbench.core.video_writing import write_video

    frames(root / "a" / "first", between("frame_{}.jpg", 7, 14), coded("hopper", (640, 480), "JPEG"))
    frames(root / "a" / "second", between("{:03d}.jpg", 1, 5), coded("astronaut", (640, 480), "JPEG"))
    write_video(root / "third.mp4", np.stack(faces("hopper")), 30)
    lines = [
        "Path,Subject,FPS,Onset,Apex,Offset,Action Units,Emotion",
        "a/first,p1,120,9,11,13,6+12,happy",
        "a/second,p2,60,,,,,",
        "third.mp4,p1,30,0,2,4,12,happiness",
        "a/gone,p3,60,1,2,3,4,anger",
        "third.mp4,p4,30,1,9,3,12,happiness",
        "third.mp4,p4,30,3,,2,12,happiness",
        "third.mp4,p4,30,0,,90,12,happiness",
        "a/first,p1,fast,9,11,13,6+12,happiness",
    ]
    (root / "our clips.csv").write_text("\n".join(lines) + "\n")
    return root / "our clips.csv"
