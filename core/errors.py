"""The one error that users see: a single line, without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class BenchError(Exception):
    """Something the user can mend. The message names the thing, its value, the choices and the remedy."""


class CellFailed(BenchError):
    """One cell cannot be done (no face in it, say); the run records the reason and goes on."""


class Unavailable(BenchError):
    """Something the user can supply is not there (weights, another program's output).

    It is looked for again next time, unless the metric's `sources` say which file is lacking.
    """


# What an error shows of a value at most; a stranger's may be a megabyte.
SHOWN = 120


def shown(value: object) -> str:
    """A value for an error: on one line, cut short."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> BenchError:
    """Error for a name that is not in a table, with the nearest known name and all choices."""
    known = sorted(choices)
    near = get_close_matches(name[:SHOWN], known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return BenchError(f"Unknown {kind} {shown(name)}.{hint} Choices: {', '.join(known) or 'none'}.")


def check_choice(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return `name` if it is among the choices; `unknown_name` otherwise."""
    known = list(choices)
    if name not in known:
        raise unknown_name(kind, name, known)
    return name
