"""Any other database: a table with one clip per line and whatever is known about it.

The columns may be in any order. The table must have the columns path (a video or a folder of pictures, relative to the
table's own folder), subject and fps. It may have onset, apex, offset, action units, emotion, clip (a name) and face
(the choice of a face if the first frame shows several: left, right, or a rank by size). Onset, apex and offset are the
numbers of pictures; the frames of a video are counted from 0, and a video is always used in full.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from megbench.clips.chosen_face import check_face
from megbench.clips.databases.corrections import corrections
from megbench.clips.databases.folders import FrameFolder, read_folder
from megbench.clips.databases.sheets import BLANK, LISTED, CodedRow, read_sheet, without_header
from megbench.clips.databases.survey import CodedClip, Survey, apex_within, backwards, coded_clip, named
from megbench.clips.folder import Recording
from megbench.clips.unread import below, counted
from megbench.core.errors import BenchError, plural, shown
from megbench.core.files.names import check_name
from megbench.core.pictures import PICTURES, frames_folder
from megbench.core.tables.reading import local_path
from megbench.core.video import is_video

# The longest name that all file systems accept. Looking up a longer name raises an error that suggests no remedy.
LONGEST_NAME = 200
WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
# The last number in a picture's name is the frame number.
FRAME = re.compile(r".*?(\d+)\D*")


class ClipTable:
    """Adapter for a table of clips; the database is named after the file."""

    name = "table"

    def survey(self, root: Path, sheet: Path | None = None, without: Sequence[str] = ()) -> Survey:
        """Return all clips in the table `root`.

        Raise BenchError if a required column is missing or a name is invalid.
        """
        if sheet is not None:
            raise BenchError("The table itself is the sheet. Remove --sheet.")
        corrections(self.name, without)
        if not root.is_file():
            raise BenchError(f"{root} is not a file. Pass a table of clips as .csv or .xlsx.")
        table = read_sheet(root, LISTED)
        if table is None:
            raise BenchError(f"{without_header(root, LISTED)} Add these columns.")
        database = check_name("database", re.sub(r"[^A-Za-z0-9]+", "_", root.stem).strip("_").lower())
        clips: list[CodedClip] = []
        missing, incomplete, remarks, names = [], [], list(table.remarks), set()
        for row in table.rows:
            path = root.parent / local_path(row.path)
            if not row.path or row.fps is None:
                incomplete.append(f"line {row.line}: no {'fps' if row.path else 'path'}")
                continue
            if reason := _no_clip(row, path, root.parent):
                missing.append(f"line {row.line}: {reason}")
                continue
            clip = row.clip or _name_of(path)
            repeats = itertools.count(2)
            stem = clip
            try:
                while named(database, row.subject, clip) in names:
                    clip = f"{stem}.{next(repeats)}"
            except BenchError as error:
                raise BenchError(f"{root}, line {row.line}: {error}") from None
            names.add(named(database, row.subject, clip))
            made, odd = _clip(database, clip, row, path)
            clips.append(_facing(made, row.face))
            remarks += odd
        whole = sum(clip.recording.path.is_file() and bool(clip.row.onset or clip.row.offset) for clip in clips)
        remarks += [
            f"{plural(whole, 'video with onset or offset is', 'videos with onset or offset are')} used in full;"
            " nothing is cut"
        ] * bool(whole)
        source = (f"sheet: {table.name}, {plural(len(table.rows), 'row')}, header in line {table.header_line}",)
        told = {"missing": tuple(missing), "remarks": tuple(remarks), "incomplete": tuple(incomplete)}
        return Survey(database, source, tuple(clips), **told)


TABLE = ClipTable()


def _no_clip(row: CodedRow, path: Path, folder: Path) -> str:
    """Return the reason why a line of a table in `folder` does not specify a clip, or "" if it does."""
    if max(map(len, path.parts), default=0) > LONGEST_NAME:
        return f"the path {shown(row.path)} is too long"
    if WINDOWS_DRIVE.match(row.path) and os.name != "nt":
        return f"{row.path} is a Windows path; use paths relative to {folder}"
    if is_video(path) or path.is_dir():
        return ""
    beside = {other.name.lower(): other.name for other in path.parent.glob("*")}
    near = [beside[name] for name in get_close_matches(path.name.lower(), beside, n=1)]
    return f"{path} is neither a video nor a folder{f'; did you mean {near[0]!r}?' if near else ''}"


def _clip(database: str, clip: str, row: CodedRow, path: Path) -> tuple[CodedClip, list[str]]:
    """Return the clip specified by one line, and remarks on it.

    Without onset and offset, the clip is the entire folder or video.
    """
    assert row.fps is not None
    if path.is_dir():
        folder = read_folder(frames_folder(path), FRAME, path.parent)
        if folder is not None:
            return coded_clip(database, row.fps, row.subject, clip, _whole(row, folder), folder)
    name = named(database, row.subject, clip)
    row, odd = apex_within(name, row)
    problem = _without_pictures(path, row.path) if path.is_dir() else backwards(row)
    recording = Recording(
        path=path,
        name=name,
        database=database,
        subject=row.subject,
        emotion=row.emotion or "not coded",
        fps=row.fps,
        action_units=row.action_units,
        onset_frame=row.onset,
        apex_frame=row.apex,
        offset_frame=row.offset,
        recording=f"{database}/{name}",
    )
    return CodedClip(recording, row, problem), odd


def _facing(clip: CodedClip, choice: str) -> CodedClip:
    """Return the clip with the face chosen in its line. An invalid choice is recorded as the clip's problem."""
    try:
        face = check_face("" if choice.lower() in BLANK else choice)
    except BenchError as error:
        return dataclasses.replace(clip, problem=clip.problem or str(error))
    return dataclasses.replace(clip, recording=dataclasses.replace(clip.recording, face=face))


def _name_of(path: Path) -> str:
    """Return a clip's name, derived from its file or folder; characters that are not allowed become underscores."""
    name = path.stem if path.is_file() else path.name
    try:
        return check_name("clip", name)
    except BenchError:
        return re.sub(r"[^A-Za-z0-9-]+", "_", name).strip("_-") or "clip"


def _without_pictures(path: Path, said: str) -> str:
    """Return the reason why a folder is not a clip, naming any folders below it that are."""
    deeper = below(path, PICTURES)
    if not deeper or deeper[0][0] == ".":
        return f"{path} contains no numbered pictures"
    verb = "does" if len(deeper) == 1 else "do"
    return f"{path} contains no pictures itself; {counted(deeper)} {verb}: use {local_path(said)}/{deeper[0][0]}"


def _whole(row: CodedRow, folder: FrameFolder) -> CodedRow:
    """Return the row with the first and last pictures as onset and offset if neither was coded."""
    if row.onset is not None or row.offset is not None:
        return row
    return dataclasses.replace(row, onset=folder.numbers[0], offset=folder.numbers[-1])
