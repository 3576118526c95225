"""The result of surveying a database: usable clips, missing clips, corrections and oddities."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from megbench.clips.databases.corrections import Correction
from megbench.clips.databases.folders import FrameFolder
from megbench.clips.databases.sheets import CodedRow
from megbench.clips.folder import Recording
from megbench.core.errors import plural
from megbench.core.files.names import check_name
from megbench.faces.coded_units import parse

# The number of items of a list that are shown; the rest are only counted. All corrections are shown.
SHOWN = 20
# Alternative names of emotions in some releases of a sheet.
SYNONYMS = {"others": "other", "happy": "happiness", "sad": "sadness"}


@dataclass(frozen=True)
class CodedClip:
    """A clip on disk as described by its coder.

    row: the corrected row of the sheet, with the database's own frame numbers. problem: the reason why the clip's
    frames cannot be used, or "" if they can.
    """

    recording: Recording
    row: CodedRow
    problem: str = ""


@dataclass(frozen=True)
class Survey:
    """A database on the user's disk.

    source: which sheet and which tree of folders were read, in words. missing: clips in the sheet that have no frames.
    uncoded: folders that no row describes. corrected: what was changed, with the name of the correction. remarks: other
    oddities. incomplete: rows of the sheet that lack information required for a clip.
    """

    database: str
    source: tuple[str, ...]
    clips: tuple[CodedClip, ...]
    missing: tuple[str, ...] = ()
    uncoded: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()

    @property
    def usable(self) -> tuple[CodedClip, ...]:
        """The clips whose frames can be read."""
        return tuple(clip for clip in self.clips if not clip.problem)

    def describe(self) -> list[str]:
        """Return the survey as lines: headings, each followed by its items, with long lists shortened."""
        recordings = [clip.recording for clip in self.clips]
        people = {recording.subject for recording in recordings}
        broken = [f"{clip.recording.name}: {clip.problem}" for clip in self.clips if clip.problem]
        lines = [
            f"{self.database}: {plural(len(self.usable), 'usable clip')} of {plural(len(people), 'person', 'people')}",
            *self.source,
        ]
        lines.append(f"emotions: {_counts(recording.emotion for recording in recordings)}")
        lines.append(f"action units: {self._units()}")
        lines.append(
            f"apex: coded in {sum(r.apex_frame is not None for r in recordings)} of {plural(len(recordings), 'clip')}"
        )
        parts = {
            "cannot be used": broken,
            "missing on disk": self.missing,
            "incomplete rows": self.incomplete,
            "not in the sheet": self.uncoded,
            "corrected": self.corrected,
            "remarks": self.remarks,
        }
        for title, items in parts.items():
            shown = len(items) if title == "corrected" else SHOWN
            lines += [f"{title}: {len(items) or 'none'}", *(f"  {item}" for item in items[:shown])]
            lines += [f"  and {len(items) - shown} more"] * (len(items) > shown)
        return lines

    def _units(self) -> str:
        texts = [clip.recording.action_units for clip in self.clips]
        codings = [parse(text) for text in texts if text]
        facts = {
            "coded": sum(bool(coding.terms) for coding in codings),
            "unknown (?)": sum(coding.unknown for coding in codings),
            "not coded": texts.count(None),
            "with alternatives": sum(any(len(term) > 1 for term in coding.terms) for coding in codings),
            "with weak references": sum(any(u.weak for term in coding.terms for u in term) for coding in codings),
            "with words": sum(bool(coding.remarks) for coding in codings),
        }
        return ", ".join(f"{count} {what}" for what, count in facts.items() if count) or "none"


def _counts(values: Iterable[str]) -> str:
    return ", ".join(f"{value} {count}" for value, count in Counter(values).most_common()) or "none"


def named(database: str, subject: str, clip: str) -> str:
    """Return a clip's name in the suite.

    The name contains the subject, because several subjects of a database may have clips of the same name.
    """
    return check_name(f"{database} clip", clip if clip.startswith(subject) else f"{subject}_{clip}")


def coded_clip(
    database: str, fps: float, subject: str, clip: str, row: CodedRow, folder: FrameFolder
) -> tuple[CodedClip, list[str]]:
    """Return one clip and remarks on it. As in the MEGC kit, the clip goes from onset to offset."""
    name = named(database, subject, clip)
    frames: list[tuple[int, Path]] = []
    problem, odd = "", []
    if row.onset is None or row.offset is None:
        problem = "onset or offset is not coded"
    elif not (problem := backwards(row)):
        frames = folder.between(row.onset, row.offset)
        wanted = row.offset - row.onset + 1
        there = f"{row.onset} to {row.offset}; the folder has {folder.numbers[0]} to {folder.numbers[-1]}"
        if 2 * len(frames) < wanted or len(frames) < 2:  # the files are most likely numbered differently
            problem = f"{len(frames)} of {plural(wanted, 'frame')} from {there}"
        elif not folder.numbers[0] <= row.onset < row.offset <= folder.numbers[-1]:
            problem = f"the onset or offset is outside its files: {there}"
        elif len(frames) < wanted:
            odd.append(f"{name}: missing frames: {wanted - len(frames)} of {wanted} from {there}")
        row, astray = apex_within(name, row)
        odd += astray
    if folder.strays:
        odd.append(
            f"{name}: {plural(len(folder.strays), 'file is not a frame', 'files are not frames')}:"
            f" {', '.join(map(repr, folder.strays[:3]))}"
        )
    if folder.twice:
        odd.append(
            f"{name}: {plural(len(folder.twice), 'frame number belongs', 'frame numbers belong')} to several files;"
            " the first by name is used"
        )
    places = {number: place for place, (number, _) in enumerate(frames)}
    onset, apex, offset = (None if mark is None else places.get(mark) for mark in (row.onset, row.apex, row.offset))
    recording = Recording(
        path=folder.path,
        name=name,
        database=database,
        subject=subject,
        emotion=SYNONYMS.get(row.emotion.lower(), row.emotion.lower()) or "not coded",
        fps=row.fps or fps,
        action_units=row.action_units,
        onset_frame=onset,
        apex_frame=apex,
        offset_frame=offset,
        recording=f"{database}/{name}",
        files=tuple(path for _, path in frames),
    )
    return CodedClip(recording, row, problem), odd


def backwards(row: CodedRow) -> str:
    """Return the reason why a row's onset and offset cannot both be correct, or "" if they can."""
    if row.onset is None or row.offset is None or row.onset < row.offset:
        return ""
    return f"the offset {row.offset} is not after the onset {row.onset}"


def apex_within(name: str, row: CodedRow) -> tuple[CodedRow, list[str]]:
    """Return the row and remarks on it. An apex that is not between onset and offset is removed."""
    marks = [mark for mark in (row.onset, row.apex, row.offset) if mark is not None]
    if row.apex is None or marks == sorted(marks):
        return row, []
    told = f"{name}: the apex {row.apex} is not between onset and offset; treated as not coded"
    return dataclasses.replace(row, apex=None), [told]


def corrected(
    row: CodedRow, name: str, frames: Sequence[int], known: Iterable[Correction]
) -> tuple[CodedRow, list[str]]:
    """Return the row after all corrections, and a line for each correction that changed it."""
    lines = []
    for correction in known:
        better = correction.apply(row, frames)
        for mark in ("onset", "apex", "offset"):
            before, after = getattr(row, mark), getattr(better, mark)
            if before != after:
                was = "not coded" if before is None else before
                lines.append(f"{name}: {mark} {was} -> {after} ({correction.name}: {correction.reason})")
        row = better
    return row, lines
