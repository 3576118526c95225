"""Match a database's folders of frames with the rows of its coding sheet."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from megbench.clips.databases.corrections import corrections
from megbench.clips.databases.folders import FrameFolder, Naming, trees
from megbench.clips.databases.sheets import LONGEST_NUMBER, CodedRow, Coding, read_sheet, without_header
from megbench.clips.databases.survey import CodedClip, Survey, coded_clip, corrected, named
from megbench.core.errors import BenchError, plural
from megbench.core.pictures import natural
from megbench.core.tables.reading import SUFFIXES

# The number of levels below the root at which sheets are looked for.
SHEET_DEPTH = 2
# Suffixes that are considered only if there is no other sheet: a .txt file may be a README, and a Numbers file can only
# be rejected with a message.
SECOND_CHOICE = (".txt", ".et", ".numbers")
Key = tuple[int, str]


@dataclass(frozen=True)
class Database:
    """The properties that are specific to a database.

    subject: returns the suite's name for the subject with a given number. clip: returns the suite's name for a clip,
    whichever release the clip comes from. reads: returns whether a tree of folders belongs to this database (and not,
    for example, to another camera of the same people). codes: returns whether a sheet with a given name may belong to
    this database. default: returns what a folder alone states about its clip, or None if it states nothing.
    """

    name: str
    title: str
    fps: float
    naming: Naming
    subject: Callable[[int], str]
    clip: Callable[[str], str] = str
    reads: Callable[[Path], bool] = lambda _: True
    codes: Callable[[str], bool] = lambda _: True
    default: Callable[[FrameFolder], CodedRow | None] = lambda _: None

    def survey(self, root: Path, sheet: Path | None = None, without: Sequence[str] = ()) -> Survey:
        """Return everything found under `root`. Raise BenchError if frames or a required sheet are missing.

        sheet: the coding sheet to use in place of the one chosen by default. without: corrections to switch off.
        """
        found = {tree: folders for tree, folders in trees(root, self.naming).items() if self.reads(tree)}
        if not found:
            raise BenchError(f"{root} contains no frames of {self.title}. Pass the folder into which it was unpacked.")
        coding, passed = self._sheet(root.resolve(), sheet, found)
        keys = {self._row_key(row) for row in coding.rows} if coding else set()
        tree = max(found, key=lambda tree: self._rank(found[tree], keys))
        others = [str(other.relative_to(root.resolve())) or "." for other in found if other != tree]
        folders: dict[Key, FrameFolder] = {}
        for folder in found[tree]:
            first = folders.setdefault((folder.subject, self.clip(folder.path.name)), folder)
            if first is not folder:
                passed.append(f"{folder.path} is the same clip as {first.path} and is not read")
        source = (
            f"frames: {tree}" + (f" (also there, not read: {', '.join(others)})" if others else ""),
            f"sheet: {coding.name}, {plural(len(coding.rows), 'row')}, header in line {coding.header_line}"
            if coding
            else "sheet: none",
        )
        survey = self._joined(coding.rows if coding else (), folders, without)
        remarks = (*passed, *(coding.remarks if coding else ()), *survey.remarks)
        return dataclasses.replace(survey, source=source, remarks=remarks)

    def _joined(self, rows: Iterable[CodedRow], folders: dict[Key, FrameFolder], without: Sequence[str]) -> Survey:
        known = corrections(self.name, without)
        clips: list[CodedClip] = []
        missing, changed, remarks = [], [], []
        coded: dict[Key, int] = {}
        for row in rows:
            key = self._row_key(row)
            coded[key] = coded.get(key, 0) + 1
            name = f"{key[1]}.{coded[key]}" if coded[key] > 1 else key[1]
            subject = self.subject(key[0])
            folder = folders.get(key)
            if folder is None:
                missing.append(f"{subject}/{row.clip} (line {row.line})")
                continue
            if default := self.default(folder):
                row = dataclasses.replace(row, emotion=default.emotion)
            row, lines = corrected(row, named(self.name, subject, name), [n for n, _ in folder.frames], known)
            clip, odd = coded_clip(self.name, self.fps, subject, name, row, folder)
            clips.append(clip)
            changed += lines
            remarks += odd
        uncoded = []
        for key, folder in folders.items():
            default = self.default(folder)
            if key in coded:
                continue
            if default is None or default.onset is None:
                uncoded.append(named(self.name, self.subject(key[0]), key[1]))
                continue
            clip, odd = coded_clip(self.name, self.fps, self.subject(key[0]), key[1], default, folder)
            clips.append(clip)
            remarks += odd
        clips.sort(key=lambda clip: natural(clip.recording.name))
        return Survey(self.name, (), tuple(clips), tuple(missing), tuple(uncoded), tuple(changed), tuple(remarks))

    def _row_key(self, row: CodedRow) -> Key:
        digits = "".join(letter for letter in row.subject if letter.isdecimal())[:LONGEST_NUMBER]
        return (int(digits) if digits else -1, self.clip(row.clip))

    def _rank(self, folders: list[FrameFolder], keys: set[Key]) -> tuple[int, bool, int]:
        """Return the rank of a release.

        Releases are ranked by how many of their clips are in the sheet, then by whether they are uncropped, and then by
        their number of clips.
        """
        described = sum((folder.subject, self.clip(folder.path.name)) in keys for folder in folders)
        return described, "crop" not in str(folders[0].tree).lower(), len(folders)

    def _sheet(
        self, root: Path, given: Path | None, found: dict[Path, list[FrameFolder]]
    ) -> tuple[Coding | None, list[str]]:
        """Return the coding sheet, or None if none exists and none is needed, together with remarks on other sheets."""
        if given is not None:
            sheet = read_sheet(given)
            if sheet is None:
                raise BenchError(f"{without_header(given)} Pass another file to --sheet.")
            return sheet, []
        keys = {(folder.subject, self.clip(folder.path.name)) for folders in found.values() for folder in folders}
        sheets: list[tuple[bool, int, Coding]] = []
        remarks, unfit = [], []
        for path in _sheet_files(root):
            try:
                sheet = read_sheet(path)
            except BenchError as error:
                remarks.append(str(error))
                continue
            described = len(keys & {self._row_key(row) for row in sheet.rows}) if sheet else 0
            if sheet is None:
                unfit.append(without_header(path))
            elif described:
                sheets.append((self.codes(path.name), described, sheet))
            else:
                unfit.append(f"{path} describes none of the clips found.")
        # Of the sheets that may belong to this database, use the one that describes the most clips found. If several
        # describe equally many, use the last by name.
        sheets.sort(key=itemgetter(0, 1))
        best = sheets.pop()[2] if sheets and sheets[-1][0] else None
        defaults = [self.default(folder) for folders in found.values() for folder in folders]
        if best is None and not any(default and default.onset is not None for default in defaults):
            told = " ".join(["", *remarks, *unfit][:4])
            raise BenchError(
                f"No coding sheet for {self.title} is in or beside {root}.{told} Put one there or pass --sheet."
            )
        others = [sheet.name for *_, sheet in sheets]
        if others:
            remarks.append(
                f"other sheets in the same place, which are not read (choose one with --sheet): {', '.join(others)}"
            )
        return best, remarks


def _sheet_files(root: Path) -> list[Path]:
    """Return the sheets in or just below `root` or, if there are none, those beside it, sorted by name.

    A later version of a sheet comes after an earlier one.
    """
    below = [path for depth in range(SHEET_DEPTH + 1) for path in root.glob("*/" * depth + "*")]
    beside = list(root.parent.glob("*"))
    for suffixes in (set(SUFFIXES).difference(SECOND_CHOICE), SECOND_CHOICE):
        for place in (below, beside):
            if found := [path for path in place if _is_sheet(path, suffixes)]:
                return sorted(found, key=lambda path: natural(path.name))
    return []


def _is_sheet(path: Path, suffixes: Collection[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith((".", "~$")) and path.is_file()
