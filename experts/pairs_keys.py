"""Folders for raters of pairs: their questions, the keys that stay with the run, and their answers.

A rater's folder shows outputs by number. The methods that made them are recorded only in a key beside the folder, in
the run. The rater sends back a file of answers, which is valid only for the frames that were shown.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from megbench.core.errors import BenchError, clause, plural, shown
from megbench.core.files.bounded import read_bounded
from megbench.core.files.cache import digest, write_json
from megbench.experts.blinded import BlindedOutput, Key, make_key
from megbench.experts.pairs import REMEDY, Answer, PairJudgement
from megbench.experts.pairs_design import Asked, Pair, all_pairs, chosen, in_order

FOLDER = "pairs"
MARK = "MEG-Bench pairs 1"
MOST_QUESTIONS = 5000
LARGEST_ANSWERS = 200_000
LARGEST_KEY = 50_000_000


class Asks(BaseModel):
    """The key of one rater's folder: the outputs behind the codes, and the two codes that each question shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    key: Key
    questions: list[tuple[str, str]]

    def outputs(self, number: int) -> tuple[BlindedOutput, BlindedOutput]:
        """Return the left and the right output of question `number`, counting from 0."""
        left, right = self.questions[number]
        return self.key.codes[left], self.key.codes[right]


class Answers(BaseModel):
    """A file of answers as written by the page; null marks a question without an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["MEG-Bench pairs 1"]
    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    answers: Annotated[list[Answer | None], Field(max_length=MOST_QUESTIONS)]


def make_asks(
    run: str, raters: Sequence[str], outputs: Sequence[BlindedOutput], each: int, earlier: Asked
) -> list[Asks]:
    """Return a key with `each` pairs of outputs for each rater, balanced together with the `earlier` questions.

    The same run, raters and outputs give the same questions, sides and order.
    """
    by_place = {(output.method, f"{output.driver}__{output.template}"): output for output in outputs}
    driver_of = {cell: output.driver for (_, cell), output in by_place.items()}
    pairs = all_pairs(by_place)
    made = []
    for rater in raters:
        key = make_key(f"{run} {FOLDER}", rater, outputs)
        rng = random.Random(key.id)
        code_of = {(out.method, f"{out.driver}__{out.template}"): code for code, out in key.codes.items()}
        asked = in_order(chosen(pairs, driver_of, each, rng, earlier), rng)
        questions = [(code_of[pair.left, pair.cell], code_of[pair.right, pair.cell]) for pair in asked]
        made.append(Asks(id=digest([key.id, questions])[:16], key=key, questions=questions))
    return made


def key_path(run: Path, rater: str) -> Path:
    """Return the path of a rater's key in the run, beside the folder that is handed to the rater."""
    return run / FOLDER / f"{rater}.key.json"


def write_asks(run: Path, asks: Asks) -> None:
    """Write a rater's key into its run."""
    write_json(key_path(run, asks.key.expert), asks.model_dump())


def read_asks(run: Path) -> list[Asks]:
    """Return the keys that a run keeps. Raise BenchError if one cannot be read."""
    found = []
    for path in sorted((run / FOLDER).glob("*.key.json")):
        try:
            asks = Asks.model_validate_json(read_bounded(path, LARGEST_KEY, REMEDY))
            for number in range(len(asks.questions)):
                asks.outputs(number)
        except (ValidationError, KeyError):
            raise BenchError(f"{path} is not a readable key. Make the rater's folder again.") from None
        found.append(asks)
    return found


def asked_before(keys: Iterable[Asks]) -> Asked:
    """Return how often a run's keys ask about each pair; a rater's repeats do not count."""
    counts = Asked()
    for asks in keys:
        outputs = [asks.outputs(number) for number in range(len(asks.questions))]
        pairs = [Pair(f"{left.driver}__{left.template}", left.method, right.method) for left, right in outputs]
        for pair in dict.fromkeys(pair.in_alphabet for pair in pairs):
            counts.add(pair)
    return counts


def read_answers(
    path: Path, keys: Sequence[Asks], contents: Mapping[tuple[str, str, str], str]
) -> tuple[str, list[PairJudgement], int]:
    """Return the rater, the judgements and the number of unanswered questions in a file of answers.

    contents: the hash of the frames that the run holds now, by (method, driver, template). Raise BenchError if the file
    is not a file of answers, belongs to no key or has no answers, or if an output has changed since the folder was
    made.
    """
    try:
        given = Answers.model_validate_json(read_bounded(path, LARGEST_ANSWERS, REMEDY))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise BenchError(
            f"{path} is not a file of answers ({shown(place)}: {clause(first['msg'])}). Give the file saved by the"
            " page."
        ) from None
    asks = next((asks for asks in keys if asks.id == given.id), None)
    if asks is None:
        raise BenchError(
            f"{path} has the id {given.id}, which no key of this run has. Pass the folder's own run with --run."
        )
    if len(given.answers) != len(asks.questions):
        counts = f"{plural(len(given.answers), 'answer')} to {plural(len(asks.questions), 'question')}"
        raise BenchError(f"{path} has {counts}. Give the file exactly as the page saved it.")
    found = []
    for number, answer in enumerate(given.answers):
        if answer is None:
            continue
        left, right = asks.outputs(number)
        for output in (left, right):
            if contents.get((output.method, output.driver, output.template)) != output.content:
                what = f"the output of {output.method} on {output.driver}__{output.template}"
                raise BenchError(f"{path}: {what} is no longer the one that was judged. Make new folders for this run.")
        found.append(
            PairJudgement(asks.key.expert, left.driver, left.template, left.method, right.method, answer, number)
        )
    if not found:
        raise BenchError(f"{path} answers none of the questions. Ask the rater for the file saved at the end.")
    return asks.key.expert, found, len(given.answers) - len(found)
