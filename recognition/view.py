"""Label the outputs of a run with recognisers that were not trained on the driver's person or on the template."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from megbench.core.clip import person
from megbench.core.errors import plural
from megbench.core.files.cache import digest
from megbench.core.files.hashes import file_hash
from megbench.core.frames import content_hash, frame_path, grey, read_png
from megbench.recognition.folds import Flags, Places, may_learn
from megbench.recognition.moments import Measured, Moment, grey_frame, measure
from megbench.recognition.recogniser import Answers, Recogniser
from megbench.recognition.samples import Labelled


@dataclass(frozen=True)
class Shown:
    """An output or the driver itself, as frames in a folder, with the driver's onset and apex.

    row, cell: where its label belongs. driver: the driver's name. template: the template's picture, or None for a
    driver.
    """

    row: str
    cell: str
    driver: str
    folder: Path
    template: Path | None


@dataclass(frozen=True)
class Driver:
    """The facts about a driver. apex: None if it was not coded; the frame with the largest motion is then used."""

    name: str
    database: str
    subject: str
    folder: Path
    n_frames: int
    onset: int
    apex: int | None

    @property
    def person(self) -> str:
        """The person shown in the driver, such as "smic/s11"."""
        return person(self.database, self.subject)


@dataclass(frozen=True, eq=False)
class Pictures:
    """The measurements of everything shown, by index; `reasons` states why some could not be measured.

    drivers: each driver's measurement, or the reason why there is none.
    """

    found: Mapping[int, Measured]
    reasons: Mapping[int, str]
    drivers: Mapping[str, Measured | str]


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels assigned by the recogniser.

    answers: (S, M), the predictions of S seeds for the M items shown, or -1 for none.
    reasons: why there is no prediction, by index.
    apexes: the frame used as each driver's apex.
    notes: further remarks for the reader.
    fewer: the indices whose predictions come from a recogniser that was not trained on all classes.
    """

    answers: Answers
    reasons: Mapping[int, str]
    apexes: Mapping[str, int]
    notes: tuple[str, ...] = ()
    fewer: frozenset[int] = frozenset()


def pictures_of(shown: Sequence[Shown], drivers: Sequence[Driver], cache: Path | None, workers: int = 1) -> Pictures:
    """Measure drivers and outputs from the onset to the apex of each driver."""
    moments = [_moment(f"driver {one.name}", one.folder, one, one.apex) for one in drivers]
    seen = dict(zip((one.name for one in drivers), measure(moments, cache, "Flow of drivers", workers), strict=True))
    known = {one.name: one for one in drivers}
    places, outputs, reasons = [], [], {}
    for place, one in enumerate(shown):
        driver = seen[one.driver]
        if isinstance(driver, str):
            reasons[place] = driver
        else:
            places.append(place)
            outputs.append(_moment(f"{one.row} on {one.cell}", one.folder, known[one.driver], driver.apex))
    measured = dict(zip(places, measure(outputs, cache, "Flow of outputs", workers), strict=True))
    reasons |= {place: found for place, found in measured.items() if isinstance(found, str)}
    return Pictures({p: found for p, found in measured.items() if isinstance(found, Measured)}, reasons, seen)


def label(
    shown: Sequence[Shown],
    drivers: Sequence[Driver],
    data: Labelled,
    recogniser: Recogniser,
    cache: Path | None,
    workers: int = 1,
) -> Labels:
    """Label everything shown, using a recogniser trained on `data`.

    For each driver and template, the recogniser is trained without clips of the driver's person or of anyone whose
    frames include the driver's onset, the driver's apex or the template. Frames are compared by their pixels, and
    people by their names.
    """
    measured = pictures_of(shown, drivers, cache, workers)
    asked, answers = list(measured.found), np.full((1, len(shown)), -1, np.int64)
    notes: list[str] = []
    fewer: frozenset[int] = frozenset()
    if asked:
        known = {one.name: one for one in drivers}
        training, fold_of = _folds([shown[place] for place in asked], known, measured.drivers, data)
        pictures = np.stack([found.picture for found in measured.found.values()])
        given = recogniser.answers(data.pictures, data.labels, training, pictures, fold_of, len(data.classes))
        answers = np.full((len(given), len(shown)), -1, np.int64)
        answers[:, asked] = given
        notes.append(_held_out([shown[place] for place in asked], training[fold_of], data))
        lacking = [learns.any() and len(np.unique(data.labels[learns])) < len(data.classes) for learns in training]
        fewer = frozenset(place for place, fold in zip(asked, fold_of, strict=True) if lacking[fold])
        if fewer:
            notes.append(
                f"labels from a recogniser that does not know all classes: {len(fewer)} (the other classes occur only"
                " for held-out people)"
            )
    nothing = f"the clips on which {recogniser.name} is trained show only the driver's person"
    reasons = dict(measured.reasons) | {place: nothing for place in asked if (answers[:, place] < 0).any()}
    apexes = {name: found.apex for name, found in measured.drivers.items() if isinstance(found, Measured)}
    return Labels(answers, reasons, apexes, tuple(notes), fewer)


def _held_out(shown: Sequence[Shown], learns: Flags, data: Labelled) -> str:
    """Return, in words, how many people were held out in how many cells.

    learns: (M, N), the samples that may be used for training for each of the M items shown.
    """
    people = np.array(data.people)
    held = {(one.cell, who) for one, row in zip(shown, learns, strict=True) if one.row for who in people[~row]}
    if not held:
        return (
            "none of the clips on which the recogniser is trained shows a driver's person or a template, by name or by"
            " identical frames"
        )
    who, cells, of = {who for _, who in held}, {cell for cell, _ in held}, {one.cell for one in shown if one.row}
    return (
        f"held out, by name and by identical frames: {plural(len(who), 'person', 'people')} in"
        f" {len(cells)} of {plural(len(of), 'cell')}"
    )


def _folds(
    shown: Sequence[Shown], drivers: Mapping[str, Driver], seen: Mapping[str, Measured | str], data: Labelled
) -> tuple[Flags, Places]:
    """Return the training samples (F, N) of each fold, and the fold (M,) of each item shown.

    One fold is used for all pairs of driver and template that exclude the same people.
    """
    rows: dict[bytes, Flags] = {}
    of_pair: dict[tuple[str, Path | None], bytes] = {}
    for one in shown:
        pair = one.driver, one.template
        if pair not in of_pair:
            found = seen[one.driver]
            pixels = [*found.pixels] if isinstance(found, Measured) else []
            pixels += [_pixels(one.template)] if one.template else []
            learns = may_learn(data, [drivers[one.driver].person], pixels)
            of_pair[pair] = learns.tobytes()
            rows[learns.tobytes()] = learns
    order = list(rows)
    fold_of = [order.index(of_pair[one.driver, one.template]) for one in shown]
    return np.stack(list(rows.values())), np.array(fold_of, np.int64)


def _moment(what: str, folder: Path, driver: Driver, apex: int | None) -> Moment:
    """Return a clip in a folder of frames, to be measured at its driver's onset and apex."""
    looked_at = range(driver.n_frames) if apex is None else (driver.onset, apex)
    content = digest([file_hash(frame_path(folder, index)) for index in looked_at])
    return Moment(what, content, functools.partial(grey_frame, folder), driver.n_frames, driver.onset, apex)


@functools.cache
def _pixels(picture: Path) -> str:
    return content_hash(grey(read_png(picture)[None])[0])
