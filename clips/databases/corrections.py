"""Named corrections of known mistakes in the databases' sheets, each with its reason. Each can be switched off.

A correction never overrides a value that may be true. It fills in a cell that is not coded, or it replaces a value that
contradicts the other cells or the frames on disk. The new value must contradict neither. Rows are counted from 0 below
the sheet's header. A sheet that has been re-sorted is left unchanged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from megbench.clips.databases.sheets import CodedRow
from megbench.core.errors import check_choice


@dataclass(frozen=True)
class Correction:
    """One named correction of a database's sheet.

    values: the correct values of cells, by row number. one_beyond: whether an offset one frame beyond the last file is
    treated as the last frame.
    """

    name: str
    database: str
    reason: str
    values: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    one_beyond: bool = False

    def apply(self, row: CodedRow, frames: Collection[int]) -> CodedRow:
        """Return the row, with corrections if it needs any. frames: the frame numbers of the clip's files."""
        last = max(frames)
        if self.one_beyond and row.offset == last + 1:
            return dataclasses.replace(row, offset=last)
        for name, value in self.values.get(row.number, {}).items():
            better = dataclasses.replace(row, **{name: value})  # type: ignore[arg-type]
            if not _possible(row, name, frames) and _possible(better, name, frames):
                row = better
        return row


def _possible(row: CodedRow, name: str, frames: Collection[int]) -> bool:
    """Return whether a frame number is coded and exists on disk, and all coded numbers of the row are in order."""
    marks = [mark for mark in (row.onset, row.apex, row.offset) if mark is not None]
    return getattr(row, name) in frames and marks == sorted(marks)


# Apexes that are not coded ("/") in the sheets of CASME II and SAMM, as estimated by the authors of MEB from optical
# flow.
CASME2_APEX = {
    29: 279, 35: 68, 43: 77, 45: 81, 51: 166, 53: 100, 60: 78, 117: 187, 118: 89, 126: 80, 136: 88, 147: 134, 155: 231,
    168: 53, 170: 329, 177: 111, 202: 91, 203: 103, 234: 98, 237: 153, 238: 98,
}  # fmt: skip
SAMM_APEX = {125: 1105, 132: 4945, 133: 5130}

CORRECTIONS = (
    Correction(
        "casme2-offset",
        "casme2",
        "the offset of row 60 is not after its onset and apex; MEB (github.com/tvaranka/meb) reads 91",
        {60: {"offset": 91}},
    ),
    Correction(
        "casme2-apex",
        "casme2",
        "21 apexes are not coded ('/'); MEB estimated them from optical flow",
        {row: {"apex": apex} for row, apex in CASME2_APEX.items()},
    ),
    Correction(
        "samm-offset",
        "samm",
        "the offset of row 56 is mistyped; MEB reads 5739 (5793 in its older versions)",
        {56: {"offset": 5739}},
    ),
    Correction(
        "samm-apex",
        "samm",
        "three apexes are not coded; MEB estimated them from optical flow",
        {row: {"apex": apex} for row, apex in SAMM_APEX.items()},
    ),
    Correction(
        "smic-offset",
        "smic",
        "some offsets are one too large (s3_po_05: 304660, but its last file is 304659)",
        one_beyond=True,
    ),
)


def corrections(database: str, without: Sequence[str] = ()) -> tuple[Correction, ...]:
    """Return the corrections of a database that are not switched off.

    without: the names of those that are; "all" switches off every correction. Raise BenchError for an unknown name.
    """
    of_database = [each for each in CORRECTIONS if database.split("-")[0] == each.database]
    for name in without:
        check_choice(f"correction of {database}:", name, ["all", *(each.name for each in of_database)])
    return tuple(each for each in of_database if each.name not in without and "all" not in without)
