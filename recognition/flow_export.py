"""Pictures of flow for other recognisers, in the folders of STSTNet, HTNet and CausalNet, with a list and arrays.

    three_norm_u_v_os/<subject>/{u_train,u_test}/<label>/<subject>_<clip> .png   one fold per subject
    STSNet_whole_norm_u_v_os/<subject>_<clip> .png                               each picture once
    combined_3_class2_for_optical_flow.csv                                       one row per clip
    flow.npy                                                                     (N, 3, 28, 28) float32, in row order
    recipe.txt                                                                   how the files were created

The names are the published ones, including the space before ".png", which HTNet expects when it looks up files.
Pictures are stretched to 0..255 channel by channel (red u, green v, blue strain), whereas the arrays preserve
amplitude.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megbench.core.clip import Float32s, family
from megbench.core.errors import BenchError
from megbench.core.files.cache import link_file, whole_folder, write_text
from megbench.core.files.names import check_name
from megbench.core.frames import encode_png
from megbench.core.tables.spreadsheet_text import inert
from megbench.recognition.classes import MEGC2019, THREE
from megbench.recognition.flow_picture import CHANNELS, CORNER, EXTENT, SIDE, stretched
from megbench.recognition.samples import Sample

FOLDS, WHOLE = "three_norm_u_v_os", "STSNet_whole_norm_u_v_os"
LIST, ARRAY, RECIPE = "combined_3_class2_for_optical_flow.csv", "flow.npy", "recipe.txt"
COLUMNS = ("dataset", "sub", "filename_o", "label", "apex", "imagename", "sub_filename")
# In the lists, SMIC's "s3" and "s3_po_05" are called "s03" and "s03_po_05".
ONE_DIGIT = re.compile(r"^s(\d)(?=_|$)")


@dataclass(frozen=True, eq=False)
class Exported:
    """One clip to be exported.

    name: its name, without the subject's name. label: its class. generated: whether it is an output of a run, which is
    used only for training, never for testing.
    """

    sample: Sample
    name: str
    label: str
    generated: bool = False

    @property
    def subject(self) -> str:
        """The person in the clip, or the person who drove the output, as spelled in the published lists."""
        database, _, subject = self.sample.person.partition("/")
        return ONE_DIGIT.sub(r"s0\1", subject) if database == "smic" else subject

    @property
    def file(self) -> str:
        """The picture's file name; the space in it also occurs in the published names."""
        return f"{check_name('clip', f'{self.subject}_{self.name}')} .png"


def listed_name(sample: Sample) -> str:
    """Return the name of a database's clip in the published lists, without the subject's name."""
    name = sample.clip.rpartition("/")[2]
    database, _, subject = sample.person.partition("/")
    if database == "smic":
        return ONE_DIGIT.sub(r"s0\1", name)
    return name if database == "samm" else name.removeprefix(f"{subject}_")


def write_flow(out: Path, clips: Sequence[Exported], scheme: str, notes: Sequence[str] = ()) -> int:
    """Write the layout into the new folder `out`, completely or not at all, and return the number of pictures.

    Raise BenchError if the folder exists, if there are fewer than two people, or if two clips would have the same name.
    """
    if out.exists():
        raise BenchError(f"{out} already exists. Pass another folder to --out, or delete this one.")
    subjects = list(dict.fromkeys(clip.subject for clip in clips if not clip.generated))
    if len(subjects) < 2:
        who = "1 person" if subjects else "0 people"
        raise BenchError(
            f"The clips that have a class show {who}; with one fold per person, at least two people are needed. Pass"
            " databases (--clips) or a run on a database: drivers from a folder have no person or emotion labels."
        )
    _check_names(clips)
    names = list(THREE) if scheme == MEGC2019 else sorted({clip.label for clip in clips})
    with whole_folder(out) as folder:
        (folder / WHOLE).mkdir()
        for clip in clips:
            (folder / WHOLE / clip.file).write_bytes(encode_png(picture(clip.sample.picture)))
        for place, clip in _places(clips, subjects, names):
            (folder / place).mkdir(parents=True, exist_ok=True)
            link_file(folder / WHOLE / clip.file, folder / place / clip.file)
        np.save(folder / ARRAY, np.stack([clip.sample.picture for clip in clips]))
        write_text(folder / LIST, _list(clips, names))
        write_text(folder / RECIPE, "\n".join([*_recipe(names), *notes]) + "\n")
    return len(clips)


def picture(flow: Float32s) -> np.ndarray:
    """Return u, v and strain (3, 28, 28) as a published picture: (28, 28, 3) uint8, each channel from 0 to 255."""
    return np.asarray(np.round(255 * np.moveaxis(stretched(flow), 0, -1)), np.uint8)


def _places(
    clips: Sequence[Exported], subjects: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[Path, Exported]]:
    for subject in subjects:
        for clip in clips:
            own = clip.subject == subject
            if not (own and clip.generated):  # outputs that the held-out person drives are in neither part
                part = "u_test" if own else "u_train"
                yield Path(FOLDS, check_name("subject", subject), part, str(names.index(clip.label))), clip


def _check_names(clips: Sequence[Exported]) -> None:
    of: dict[str, str] = {}
    people: dict[str, str] = {}
    for clip in clips:
        if (other := of.setdefault(clip.file, clip.sample.clip)) != clip.sample.clip:
            raise BenchError(f"{other} and {clip.sample.clip} would both be {clip.file!r}. Export them separately.")
        if (other := people.setdefault(clip.subject, clip.sample.person)) != clip.sample.person:
            raise BenchError(
                f"{other} and {clip.sample.person} are different people with the same name. Export their databases"
                " separately."
            )


def _list(clips: Sequence[Exported], names: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for clip in clips:
        words = (family(clip.sample.database), clip.subject, clip.name)
        image = f"{clip.subject}_{clip.name}.jpg"
        writer.writerow([*map(inert, words), names.index(clip.label), clip.sample.apex, inert(image), ""])
    return out.getvalue()


def _recipe(names: Sequence[str]) -> list[str]:
    left, top = CORNER
    return [
        f"Labels: {', '.join(f'{place} {name}' for place, name in enumerate(names))}.",
        f"Channels: {', '.join(CHANNELS)}; in the pictures red, green, blue (OpenCV's imread returns blue first).",
        "Flow: from the onset to the apex (the frame with the largest motion if nobody coded the apex), dense, computed"
        " with the suite's own estimator (faces/flow.py: DIS, Lucas and Kanade, variational refinement) on frames of"
        " 256 x 256 cropped to the face.",
        "Head: the similarity that explains the flow of nose, cheeks and forehead is subtracted.",
        "Alignment: a similarity fits the mean face to 51 landmarks (dlib) of the onset frame. The picture shows the"
        f" square of {EXTENT:g} eye distances whose upper left corner is {-left:g} to the left of and {-top:g} above"
        " the point between the eyes; pixels outside the face are 0.",
        "u, v: motion to the right and down, in eye distances. strain: sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2).",
        f"Size: {SIDE} x {SIDE}, each pixel the mean of 4 x 4 samples.",
        f"Pictures (*.png): each channel of each picture scaled to 0..255 by its own extremes, as published. {ARRAY} is"
        " not scaled, so it keeps amplitude. The space before .png is part of the published names that others look up.",
        f"apex in {LIST}: number of frames after the clip's first frame. imagename: the apex frame's name in other"
        " layouts; this folder contains no faces.",
    ]
