"""The emotions that a recogniser distinguishes: MEGC2019's three classes, or the words used by each database."""

from __future__ import annotations

from collections.abc import Callable

from megbench.core.clip import family
from megbench.core.errors import check_choice

MEGC2019, OWN = "megc2019", "own"
# The classes in the order of MEGC2019, whose lists number them 0, 1, 2.
THREE = ("negative", "positive", "surprise")
# The emotions in MEGC2019's composite database, with their classes. The composite drops all other emotions.
COMPOSITE = {
    **dict.fromkeys(("repression", "anger", "contempt", "disgust", "fear", "sadness", "negative"), "negative"),
    **dict.fromkeys(("happiness", "positive"), "positive"),
    "surprise": "surprise",
}
# The composite excludes these from CASME II, which has two clips of fear and seven of sadness.
NOT_IN_CASME2 = ("fear", "sadness")
# What an adapter writes if no emotion was coded.
UNCODED = ("", "not coded")


def three_classes(database: str, emotion: str) -> str | None:
    """Return a clip's class in MEGC2019's composite database, or None if the composite excludes the clip."""
    word = emotion.lower()
    if family(database) == "casme2" and word in NOT_IN_CASME2:
        return None
    return COMPOSITE.get(word)


def own_class(database: str, emotion: str) -> str | None:
    """Return a clip's emotion in the words of its database, or None if no emotion was coded."""
    return None if emotion in UNCODED else emotion


CLASSES: dict[str, Callable[[str, str], str | None]] = {MEGC2019: three_classes, OWN: own_class}


def classes(name: str) -> Callable[[str, str], str | None]:
    """Return the function selected by `--classes`, which maps a database and an emotion to a class.

    Raise BenchError if `--classes` names no known choice.
    """
    return CLASSES[check_choice("classes", name, CLASSES)]
