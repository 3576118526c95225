"""The results of `bench.py gain`: every row's predictions, their scores and paired differences, and `gain.json`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from megbench.core.confusion import Recognition, pooled_recognition
from megbench.core.paired_recognition import FIGURES, paired_recognition
from megbench.core.statistics import Interval, Paired, corrected

Answers = npt.NDArray[np.int64]
Kind = Literal["real", "control", "generator"]
EPOCHLESS = "a support vector machine has no epochs to choose from"
LEAK = (
    "Best test epoch: the score that would be reported if each fold kept the epoch that labels its held-out person"
    " best, as some published code does. Because that epoch is selected on the predictions that are then scored, the"
    " score is not a result; only the size of the effect matters."
)


@dataclass(frozen=True, eq=False)
class GainRow:
    """The training data and the predictions of one row.

    answers: the predictions (S, N) after the last epoch, -1 if a fold gave none.
    habit: the predictions of the best test epochs, or None for recognisers without epochs.
    added: the number of copies from which each fold learned.
    marks: words for the tables, each with a sentence.
    reason: why predictions are missing.
    """

    name: str
    kind: Kind
    answers: Answers
    habit: Answers | None
    added: tuple[int, ...]
    marks: Mapping[str, str]
    notes: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Gain:
    """A complete experiment on N clips.

    clips, people: the names (N,) of the clips and of the people in them; people who share frames count as one.
    true: the classes (N,) of the clips.
    rows: real clips only, then still copies and the mirror, then generators.
    epochs: None for recognisers without epochs.
    databases: the numbers of clips and people by database.
    """

    recogniser: str
    epochs: int | None
    seeds: int
    templates: int
    classes: tuple[str, ...]
    databases: Mapping[str, tuple[int, int]]
    clips: tuple[str, ...]
    people: tuple[str, ...]
    true: Answers
    rows: tuple[GainRow, ...]
    notes: tuple[str, ...]

    def score(self, answers: Answers) -> Recognition:
        """Return the UF1 and UAR of predictions (S, N)."""
        return pooled_recognition(self.true, answers, len(self.classes), self.people)


Compared = dict[tuple[str, str], Paired]


def differences(gain: Gain) -> dict[str, Compared]:
    """Compare generators and controls with "real only", and generators with controls, in each figure.

    p-values have Holm's correction.
    """
    real = [row for row in gain.rows if row.kind == "real"]
    controls = [row for row in gain.rows if row.kind == "control"]
    generators = [row for row in gain.rows if row.kind == "generator"]
    pairs = [*itertools.product([*generators, *controls], real), *itertools.product(generators, controls)]
    found = {
        (first.name, second.name): paired_recognition(
            gain.true, first.answers, second.answers, len(gain.classes), gain.people
        )
        for first, second in pairs
    }
    return {figure: corrected({pair: of[figure] for pair, of in found.items()}) for figure in FIGURES}


def gain_json(gain: Gain, show_leak: bool) -> dict[str, Any]:
    """Return clips, predictions, scores and differences as JSON values. Absent values are null, with a reason."""
    return {
        **{name: getattr(gain, name) for name in ("recogniser", "epochs", "seeds", "templates", "classes", "notes")},
        "databases": {name: {"clips": clips, "people": people} for name, (clips, people) in gain.databases.items()},
        "clips": [
            {"clip": clip, "person": person, "class": gain.classes[true]}
            for clip, person, true in zip(gain.clips, gain.people, gain.true, strict=True)
        ],
        "rows": [_row_values(gain, row, show_leak) for row in gain.rows],
        "differences": [
            {
                **{"figure": figure, "first": first, "second": second, **_interval_values(found.difference)},
                **{"p": found.p, "p_holm": found.p_adjusted},
            }
            for figure, pairs in differences(gain).items()
            for (first, second), found in pairs.items()
        ],
    }


def _row_values(gain: Gain, row: GainRow, show_leak: bool) -> dict[str, Any]:
    score = gain.score(row.answers)
    values = {
        **{"name": row.name, "kind": row.kind, "marks": dict(row.marks), "notes": row.notes, "reason": row.reason},
        **{"uf1": _interval_values(score.uf1), "uar": _interval_values(score.uar), "uf1_of_seeds": score.of_seeds},
        **{"added_by_fold": row.added, "answers": row.answers.tolist()},
    }
    if not show_leak:
        return values
    why = EPOCHLESS if gain.epochs is None else row.reason
    told: dict[str, Any] = {"not_a_result": LEAK, "uf1": None, "uar": None, "reason": why}
    if row.habit is not None:
        leak = gain.score(row.habit)
        told |= {"uf1": leak.uf1.value, "uar": leak.uar.value, "reason": leak.uf1.reason}
        told["answers"] = row.habit.tolist()
    return values | {"best_test_epoch": told}


def _interval_values(found: Interval) -> dict[str, Any]:
    """Return the value, the interval's ends and, if the value is absent, the reason."""
    values = {"value": found.value, "low": found.low, "high": found.high}
    return values if found.value is not None else values | {"reason": found.reason}
