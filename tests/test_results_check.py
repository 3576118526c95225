"""Every kind of tampering with a results file is found, and an intact file has no findings."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.core.errors import BenchError
from megbench.results.check import findings
from megbench.results.reading import LARGEST, SCHEMA, read_facts, read_submission, schema_text
from tests.results_fixture import DEMO_HASH, OWN_HASH, mended, results, resummed, row, write

WHOLE = results()
SUITE = {DEMO_HASH: "demo weights"}
FIRST, SAME_DRIVER, OTHER_DRIVER = "d0__ta", "d0__tb", "d1__ta"


def found(facts):
    return findings(facts, SUITE)


def tampered(change):
    """Return an intact file's values after a change, once with the old hashes and once with all hashes recomputed."""
    facts = copy.deepcopy(WHOLE)
    change(facts)
    return facts, mended(facts)


def test_a_whole_file_is_not_found_fault_with():
    assert found(WHOLE) == []


def test_the_published_schema_is_what_files_are_read_by():
    assert SCHEMA.read_text() == schema_text()


def of(label):
    return next(k for k, made in enumerate(WHOLE["rows"]) if made["label"] == label)


def set_at(*path, to):
    """Return a change that sets the value at a path of keys to `to`."""

    def change(facts):
        for key in path[:-1]:
            facts = facts[key]
        assert facts[path[-1]] != to
        facts[path[-1]] = to

    return change


def drop_at(*path):
    def change(facts):
        for key in path[:-1]:
            facts = facts[key]
        del facts[path[-1]]

    return change


def swap_with(other):
    def change(facts):
        cells = facts["rows"][0]["cells"]
        cells[FIRST], cells[other] = cells[other], cells[FIRST]

    return change


def swap_listed_cells(facts):
    facts["cells"][0], facts["cells"][1] = facts["cells"][1], facts["cells"][0]


def other_driver(facts):
    facts["cells"][0]["driver_content"] = "9" * 32


def hide_seen(facts):
    trained = facts["rows"][of("trained")]
    trained |= {"marks": {}, "seen_drivers": [], "seen_people": []}


# Changes that contradict something else in the file, with words of the finding. They are found even if every hash
# was recomputed.
CONTRADICTING = {
    "a score": (
        set_at("rows", 0, "cells", FIRST, "scores", "agreement", to=0.95),
        "row fomm: agreement: its mean is given as",
    ),
    "a mean": (set_at("rows", 0, "scores", "gain", "value", to=0.99), "row fomm: gain: its mean is given as 0.99"),
    "a pooled figure": (
        set_at("rows", 0, "scores", "agreement_pooled", "value", to=0.99),
        "agreement_pooled: its pooled",
    ),
    "an interval": (set_at("rows", 0, "scores", "gain", "low", to=0.3), "row fomm: gain: its interval is given as 0.3"),
    "no interval": (set_at("rows", 0, "scores", "gain", "high", to=None), "row fomm: gain: its interval is given as"),
    "a count": (set_at("rows", 0, "scores", "gain", "n_scored", to=11), "gain: its mean is of 11 cells"),
    "a removed score": (drop_at("rows", 0, "cells", FIRST, "scores", "gain"), "gain on d0__ta: has neither"),
    "a removed mean": (drop_at("rows", 0, "scores", "gain"), "gain: lacks a mean"),
    "an impossible score": (set_at("rows", 0, "cells", FIRST, "scores", "agreement", to=1.5), "outside its range"),
    "an impossible mean": (set_at("rows", 0, "scores", "error", "value", to=-0.5), "outside its range"),
    "impossible time": (
        set_at("rows", 0, "frames_per_second", to=1e6),
        "its speed is given as 1000000.0 frames per second",
    ),
    "no time at all": (set_at("rows", 0, "cells", FIRST, "seconds", to=0.0), "row fomm: its time is given as"),
    "impossible memory": (set_at("rows", 0, "peak_mb", to=1.0), "its peak memory is given as 1.0 MB"),
    "a removed method": (drop_at("rows", 0), "row fomm: missing, although it was requested"),
    "a removed control": (drop_at("rows", of("still")), "row still: missing"),
    "a removed foil": (drop_at("rows", of("wrong_driver")), "row wrong_driver: missing"),
    "a removed truth": (drop_at("rows", of("truth")), "row truth: missing"),
    "no controls": (set_at("asked", "controls", to=False), "rows: there are no controls"),
    "a control as a method": (
        set_at("rows", of("still"), "is_control", to=False),
        "is a control but is not marked as one",
    ),
    "a removed cell": (drop_at("rows", 0, "cells", FIRST), "row fomm: cell d0__ta: missing"),
    "swapped cells": (swap_with(OTHER_DRIVER), "agreement: its interval is given as"),
    "cells in another order": (swap_listed_cells, "not in the table's order"),
    "another driver": (other_driver, "its driver d0 is a different clip"),
    "a renamed cell": (set_at("cells", 0, "name", to="d9__ta"), "name does not match driver d0"),
    "no hash of a cell": (set_at("cells", 0, "driver_content", to=None), "lacks the hashes"),
    "a removed mark": (drop_at("rows", 0, "marks", "demo weights"), "lacks the mark 'demo weights'"),
    "an untrained row": (set_at("rows", 2, "marks", to={}), "lacks the mark 'untrained'"),
    "no weights": (set_at("rows", 0, "weights", to=None), "without their hash"),
    "demo weights as one's own": (set_at("rows", 1, "weights", to={"weights": DEMO_HASH}), "are the suite's"),
    "people seen, no mark": (set_at("rows", 1, "marks", to={}), "lacks the mark 'trained on 1 of 6 drivers"),
    "people seen, not told": (hide_seen, "was trained on samm/s0, who is driver d0"),
    "a row twice": (lambda facts: facts["rows"].append(facts["rows"][0]), "row fomm: occurs twice"),
    "no seal": (set_at("seal", to=None), "seal: missing"),
    "a hash of frames": (drop_at("rows", 0, "cells", FIRST, "output"), "output"),
}
# Changes that contradict nothing in the file. Hashes reveal them, or only the run if all hashes were recomputed.
ONLY_ALTERED = {
    "swapped cells of one driver": (swap_with(SAME_DRIVER), "row fomm on d0__ta: altered"),
    "a metric's version": (set_at("metrics", 0, "version", to="3"), "metric motion_agreement: altered"),
    "a metric's code": (set_at("metrics", 0, "recipe", to="b" * 32), "metric motion_agreement: altered"),
    "a protocol's version": (set_at("protocol", "version", to="2"), "protocol: altered"),
    "the code's version": (set_at("made", "commit", to="f" * 40), "made: altered"),
    "the hash of weights": (set_at("rows", 0, "weights", "weights", to=OWN_HASH), "row fomm: altered"),
    "the hash of an output": (set_at("rows", 0, "cells", FIRST, "output", to="0" * 32), "row fomm on d0__ta: altered"),
    "the hash of a template": (
        lambda facts: [c.update(template_content="8" * 32) for c in facts["cells"] if c["template"] == "ta"],
        "cell d0__ta: altered",
    ),
    "the seal": (set_at("seal", to="6" * 32), "seal: altered"),
}


@pytest.mark.parametrize("name", CONTRADICTING)
def test_a_change_that_contradicts_anything_is_found_with_mended_hashes_too(name):
    change, words = CONTRADICTING[name]
    plain, forged = tampered(change)
    assert found(plain)
    lines = found(forged)
    assert any(words in line for line in lines), lines
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize("name", ONLY_ALTERED)
def test_every_other_change_is_found_by_the_hash_of_its_part(name):
    change, words = ONLY_ALTERED[name]
    plain, forged = tampered(change)
    assert any(words in line for line in found(plain)), found(plain)
    assert found(forged) == []  # as docs/submit.md states, only the run reveals this


@settings(max_examples=15)
@given(data=st.data())
def test_any_changed_number_is_found_at_its_place(data):
    facts = copy.deepcopy(WHOLE)
    made = data.draw(st.sampled_from(facts["rows"]))
    cell = data.draw(st.sampled_from(sorted(made["cells"])))
    scores = made["cells"][cell]["scores"]
    name = data.draw(st.sampled_from(sorted(scores)))
    value = data.draw(st.floats(0, 1).filter(lambda value: abs(value - scores[name]) > 1e-3))
    scores[name] = value
    assert f"row {made['label']} on {cell}: altered since the export" in found(facts)
    if name != "agreement_pooled":  # pooled from sums, not from the values of cells
        assert any(
            line.startswith(f"row {made['label']}: {name}: its mean is given as") for line in found(mended(facts))
        )


def test_a_forgery_that_is_consistent_everywhere_is_not_found_by_the_file_alone():
    facts = copy.deepcopy(WHOLE)
    facts["rows"][0]["cells"][FIRST]["scores"]["gain"] = 0.97
    facts["rows"][0] = json.loads(json.dumps(resummed(facts["rows"][0])))
    for mean in facts["rows"][0]["scores"].values():
        mean |= {"reason": "", "warning": ""}
    assert found(facts)
    assert found(mended(facts)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_at("rows", 0, "cells", FIRST, "scores", "gain", to=float("nan")), "NaN is not a number"),
        (set_at("rows", 0, "cells", FIRST, "scores", "gain", to=1e300), "rows.0.cells.d0__ta.scores.gain"),
        (set_at("rows", 0, "cells", FIRST, "scores", "gain", to="0.5"), "rows.0.cells.d0__ta.scores.gain"),
        (lambda facts: facts["rows"][0].update(picture="data:image/png;base64,AAAA"), "rows.0.picture"),
        (set_at("note", to="x" * 3000), "note"),
        (set_at("cells", 0, "name", to="../../up__ta"), "cells.0.name"),
        (set_at("cells", 0, "driver", to=".."), "cells.0.driver"),
        (set_at("format", to="megbench-results-9"), "format"),
    ],
    ids=[
        "nan",
        "beyond all figures",
        "text",
        "unknown entry",
        "long text",
        "path in a cell",
        "path in a driver",
        "format",
    ],
)
def test_what_does_not_fit_the_form_is_one_line(tmp_path, change, words):
    facts = copy.deepcopy(WHOLE)
    change(facts)
    with pytest.raises(BenchError) as error:
        read_submission(write(facts, tmp_path / "file.json"))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "not a results file"),
        ("[]", "it must be a JSON object, got list"),
        ('{"note": 1, "note": 2}', "occurs twice"),
        ("\xff", "not a results file"),
        (" " * (LARGEST + 1), "larger than"),
    ],
    ids=["deep", "list", "twice", "no JSON", "large"],
)
def test_what_is_no_results_file_is_one_line(tmp_path, text, words):
    (tmp_path / "file.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BenchError, match=words):
        read_facts(tmp_path / "file.json")


def test_a_status_that_nobody_has_cannot_be_made_up():
    facts = results(rows=[*WHOLE["rows"][:3], {**row("mine", 40), "status": "no weights"}, *WHOLE["rows"][3:]])
    assert found(facts) == []
    facts["rows"][3]["status"] = "best of all"
    assert any("rows.3.status" in line for line in found(facts))
