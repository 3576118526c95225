"""The one error that users see: a single line, without a traceback."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class BenchError(Exception):
    """An error that the user can correct. The message names what is wrong, its value, the choices and the remedy."""


class CellFailed(BenchError):
    """A cell cannot be computed (for example, no face was found). The run records the reason and continues."""


class NotSupplied(CellFailed):
    """The user has not supplied something that a cell requires. The cell counts as missing, not as failed."""


class Unavailable(BenchError):
    """Something that the user can supply is missing, such as weights or another program's output.

    The next run looks for it again, unless the metric's `sources` name the missing file.
    """


class WrongSetting(BenchError):
    """A value that a setting cannot have. path: the names that lead to the setting, such as ("plan", "seed")."""

    def __init__(self, message: str, path: Sequence[str]) -> None:
        super().__init__(message)
        self.path = tuple(path)


# The maximum number of characters of a value that an error shows; a value from outside may be a megabyte long.
SHOWN = 120


def shown(value: object) -> str:
    """Return a value's repr for an error message, on one line and truncated."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


# Terminal escape codes: colours, cursor movements, titles.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
# Lengths in characters. A sentence shorter than the first says too little on its own ("Error tokenizing data."); a
# sentence longer than the second is shortened.
SHORT_CLAUSE, LONGEST_CLAUSE = 25, 200


def clause(error: BaseException | str) -> str:
    """Return the first sentence of a library's message (two if the first is very short) as one clean clause.

    Escape codes, control characters and line breaks are removed. A long sentence is shortened at a word boundary and
    ends in "...". If an exception's text is empty or a single word, it is preceded by the exception's type.
    """
    text = "".join(c if c.isprintable() else " " for c in ESCAPES.sub("", str(error)))
    first, *more = re.split(r"(?<=\w[.!?])\s+(?=[A-Z])", " ".join(text.split()))
    text = (f"{first} {more[0]}" if more and len(first) < SHORT_CLAUSE else first).rstrip(".:;! ")
    if len(text) > LONGEST_CLAUSE:
        text = textwrap.shorten(text, LONGEST_CLAUSE, placeholder=" ...") if " " in text[:LONGEST_CLAUSE] else ""
    if " " in text or isinstance(error, str):
        return text or "no message"
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind


def few(names: Sequence[str], most: int = 5) -> str:
    """Return the first `most` names, each truncated to SHOWN characters, and the number of remaining names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(name if len(name) <= SHOWN else f"{name[:SHOWN]}..." for name in names[:most]) + more


def plural(count: int, one: str, more: str = "") -> str:
    """Return a number with its noun: "1 frame", "1,200 frames". more: the plural form, if it is not `one` plus "s"."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> BenchError:
    """Return an error for a name that is not in a table, with the nearest known name and all choices."""
    known = sorted(choices)
    near = get_close_matches(name[:SHOWN], known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return BenchError(f"Unknown {kind} {shown(name)}.{hint} Choices: {', '.join(known) or 'none'}.")


def check_choice(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return `name` if it is among the choices; otherwise raise `unknown_name`."""
    known = list(choices)
    if name not in known:
        raise unknown_name(kind, name, known)
    return name
