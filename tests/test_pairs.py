"""Pairwise comparisons by people: a balanced design, checked answers, and strengths and shares with intervals."""

import itertools
import json
import random
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.core.errors import BenchError
from megbench.engine.seal import faults, seal
from megbench.experts.blinded import BlindedOutput
from megbench.experts.pairs import (
    COLUMNS,
    PairJudgement,
    first_answers,
    read_pairs,
    repeated,
    write_pairs,
)
from megbench.experts.pairs_design import Asked, all_pairs, chosen, in_order, repeats
from megbench.experts.pairs_keys import LARGEST_ANSWERS, asked_before, make_asks
from megbench.experts.preferences import UNBOUNDED, UNCONNECTED, Compared, fit
from megbench.experts.two_way import ALIKE, FEW, share_interval, two_way
from tests.report_fixture import make_judged_run
from tests.simulated_pairs import STUDIES, coverage


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_judged_run(tmp_path_factory.mktemp("run") / "run", frames=3, drivers=6)


@pytest.fixture
def judged_run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


@settings(max_examples=25)
@given(
    methods=st.integers(2, 5),
    drivers=st.integers(1, 5),
    raters=st.integers(1, 6),
    each=st.integers(1, 40),
    seed=st.integers(0, 999),
)
def test_the_design_is_balanced(methods, drivers, raters, each, seed):
    cells = {f"d{driver}__{template}": f"d{driver}" for driver in range(drivers) for template in "ab"}
    pairs = all_pairs((f"m{method}", cell) for cell in cells for method in range(methods))
    assert len(pairs) == methods * (methods - 1) // 2 * len(cells)
    rng, asked = random.Random(seed), Asked()
    for _ in range(raters):
        mine = chosen(pairs, cells, each, rng, asked)
        assert len(mine) == min(each, len(pairs)) == len(set(mine))
        met = Counter(pair.methods for pair in mine)
        of_methods = [met[two] for two in itertools.combinations([f"m{m}" for m in range(methods)], 2)]
        assert max(of_methods) - min(of_methods) <= 2
        questions = in_order(mine, rng)
        sides = Counter()
        for pair in questions:
            sides[pair.methods] += 1 if pair.left < pair.right else -1
        again = [pair for pair, n in Counter(pair.in_alphabet for pair in questions).items() if n == 2]
        assert 1 <= len(again) <= repeats(len(mine))
        assert len(questions) == len(mine) + len(again)
        assert max(map(abs, sides.values())) <= 1 + len(again)
        for pair in again:  # it is repeated with the sides exchanged
            assert len({each for each in questions if each.in_alphabet == pair}) == 2
    counts = [asked.pairs[pair] for pair in pairs]
    assert max(counts) - min(counts) <= 1
    met = [asked.methods[two] for two in itertools.combinations([f"m{m}" for m in range(methods)], 2)]
    assert max(met) - min(met) <= 1


def test_the_same_run_and_raters_are_asked_the_same_and_later_ones_are_balanced_with_them():
    outputs = [
        BlindedOutput(method=method, driver=driver, template="t", content=method + driver)
        for method in ("a", "b", "c")
        for driver in ("d1", "d2", "d3", "d4")
    ]
    first, second = (make_asks("run", ["anna", "ben"], outputs, 5, Asked()) for _ in range(2))
    assert first == second
    assert first[0].questions != first[1].questions
    later = make_asks("run", ["carl"], outputs, 2, asked_before(first))
    counts = asked_before([*first, *later])
    assert sorted(counts.pairs.values()) == [1] * 12
    assert set(counts.methods.values()) == {4}
    assert make_asks("run", ["anna"], outputs, 6, Asked())[0].id != first[0].id


def compared(wins, losses, ties, raters=6, drivers=6):
    outcomes = [1] * wins + [-1] * losses + [0] * ties
    return [
        Compared(0, 1, outcome, f"r{number % raters}", f"d{number // raters % drivers}")
        for number, outcome in enumerate(outcomes)
    ]


def test_two_methods_differ_by_the_logarithm_of_the_odds_whatever_the_ties():
    for ties in (0, 1, 30):
        found = fit(compared(40, 10, ties), 2)
        assert found.difference(0, 1).value == pytest.approx(np.log(4))
        assert found.of(0).value == pytest.approx(np.log(4) / 2)
        assert found.difference(1, 0).low == pytest.approx(-found.difference(0, 1).high)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_each_method_is_expected_to_win_as_often_as_it_did(seed):
    """At the maximum likelihood, the expected number of wins plus half the ties equals the observed one."""
    rng = np.random.default_rng(seed)
    answers = [
        Compared(int(a), int(b), int(rng.choice([1, 0, -1])), f"r{n % 5}", f"d{n % 7}")
        for n, (a, b) in enumerate(rng.permuted(np.tile(np.arange(4), (80, 1)), axis=1)[:, :2])
    ]
    v = fit(answers, 4).values
    assert v.sum() == pytest.approx(0, abs=1e-9)
    tied = sum(each.outcome == 0 for each in answers)
    low, high = 1e-6, 1e6
    for _ in range(100):  # bisect for the tie parameter with which as many ties are expected as were observed
        middle = np.sqrt(low * high)
        of_tie = [middle / (middle + 2 * np.cosh((v[a.first] - v[a.second]) / 2)) for a in answers]
        low, high = (middle, high) if sum(of_tie) < tied else (low, middle)
    expected, observed = np.zeros(4), np.zeros(4)
    for each, tie in zip(answers, of_tie, strict=True):
        sides = np.eye(4)[each.first] - np.eye(4)[each.second]
        expected += (1 - tie) * np.tanh((v[each.first] - v[each.second]) / 2) * sides
        observed += each.outcome * sides
    assert expected == pytest.approx(observed, abs=1e-5)


def test_what_has_no_finite_strength_has_none():
    assert fit(compared(10, 0, 0), 2).of(0).reason == UNBOUNDED
    assert fit(compared(10, 0, 5), 2).values is None
    assert fit(compared(0, 0, 5), 2).values is None
    assert fit(compared(4, 4, 0), 3).of(2).reason == UNCONNECTED
    assert fit([], 2).of(0).value is None
    assert fit(compared(9, 3, 2, raters=4), 2).of(0).low is None
    assert fit(compared(9, 3, 2, raters=4), 2).of(0).reason == FEW


def test_clusters_that_are_the_same_either_way_count_once():
    rng = np.random.default_rng(0)
    names = [f"c{n % 8}" for n in range(80)]
    influences = rng.normal(size=(80, 2))
    found = two_way(influences, names, names)
    assert found.variance(np.array([1.0, 0])) == pytest.approx(found.by_rater[0, 0])
    sums = np.array([influences[np.array(names) == f"c{n}", 0].sum() for n in range(8)])
    assert found.by_driver[0, 0] == pytest.approx((sums**2).sum() * 8 / 7)


def test_a_share_stays_within_0_and_1_and_whole_clusters_make_it_wide():
    raters, drivers = [f"r{n % 6}" for n in range(120)], [f"d{n // 6 % 10}" for n in range(120)]
    alone = share_interval([float(n % 10 < 9) for n in range(120)], raters, drivers)
    whole = share_interval([float(n % 6 < 3) for n in range(120)], raters, drivers)  # each rater always answers alike
    assert 0 < alone.low < alone.value < alone.high < 1
    assert whole.high - whole.low > 0.5
    assert share_interval([1.0] * 120, raters, drivers).reason == ALIKE
    assert share_interval([1.0, 0.0], ["a", "b"], ["d", "d"]).reason == FEW
    assert share_interval([], [], [], none="nobody").reason == "nobody"


@pytest.mark.parametrize("study", STUDIES[:2])
def test_intervals_cover_the_known_truth(study):
    """This is a small part of docs/pairs.md: 60 simulations of five methods give 300 correlated strengths."""
    found = coverage(study, 60)
    assert found.unbounded == 0
    assert 0.9 <= found.strengths <= 0.995
    assert 0.9 <= found.differences <= 0.995
    assert 0.88 <= found.share <= 1


def judged(number, answer="left", rater="anna", left="a", right="b", driver="d1"):
    return PairJudgement(rater, driver, "t", left, right, answer, number)


def test_the_first_answer_counts_and_the_second_tests_it():
    asked = [judged(7, "left", left="b", right="a"), judged(2, "left"), judged(3, driver="d2"), judged(2, rater="ben")]
    assert {(each.rater, each.number) for each in first_answers(asked)} == {("anna", 2), ("anna", 3), ("ben", 2)}
    ((first, second),) = repeated(asked)
    assert (first.number, second.number) == (2, 7)
    assert first.preferred == "a" != second.preferred == "b"  # left both times, so inconsistent


def test_pairs_come_back_as_they_were_written(tmp_path):
    asked = [judged(0), judged(1, "same", left="=cmd", right="b")]
    write_pairs(tmp_path / "pairs.csv", asked)
    assert read_pairs(tmp_path / "pairs.csv") == asked
    assert "\n=cmd" not in (tmp_path / "pairs.csv").read_text()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("anna,d1,t,a,b,up,0", "answer is 'up'"),
        ("anna,d1,t,a,b,left,-1", "number is '-1'"),
        ("anna,d1,t,a,b,left", "does not have 7 cells"),
        ("anna,d1,t,a,a,left,0", "with itself"),
        ("anna,d1,t,a,b,left,0\nanna,d1,t,a,c,left,0", "twice"),
    ],
)
def test_a_damaged_table_is_one_line(tmp_path, row, said):
    path = tmp_path / "pairs.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{row}\n")
    with pytest.raises(BenchError, match=said):
        read_pairs(path)
    path.write_text("x" * 10)
    with pytest.raises(BenchError, match="its columns are not"):
        read_pairs(path)


def key_of(run, rater):
    return json.loads((run / "pairs" / f"{rater}.key.json").read_text())


def rated(output, rng):
    """Return a rater's opinion of an output as a whole number: the method's quality plus noise."""
    return round({"fpfomm": 1.0, "flow_warp": 1.6, "fomm:mode=absolute": 0.0}[output["method"]] + rng.gauss(0, 1))


def answers_of(run, rater, best, path):
    """Write the answers file that the page would save for a rater who prefers outputs with the larger `best`."""
    key = key_of(run, rater)
    codes = key["key"]["codes"]
    given = []
    for left, right in key["questions"]:
        gap = best(codes[left]) - best(codes[right])
        given.append("left" if gap > 0 else "right" if gap < 0 else "same")
    path.write_text(json.dumps({"format": "MEG-Bench pairs 1", "id": key["id"], "answers": given}))
    return path


def test_a_dry_run_says_how_many_pairs_it_asks_for_and_writes_nothing(call, judged_run):
    code, out, err = call("experts", "pairs", judged_run, "--rater", "anna,ben", "--each", "12", "--dry-run")
    assert code == 0, err
    assert "3 methods in 12 cells: 34 pairs of outputs" in err  # one output of the look-alike failed
    assert (
        "2 raters, 12 pairs each, 3 of which are asked twice: 30 questions. Each pair of methods is compared 8 times."
        in err
    )
    assert "24 pairs of outputs are shown once; the other 10 are not shown to these raters" in err
    assert not (judged_run / "pairs").exists()
    assert out == ""


def test_answers_become_tables_and_stand_on_the_page(call, judged_run, tmp_path):
    raters = "anna,ben,carl,dora,eve"
    (judged_run / "report.html").write_text("old")
    seal(judged_run)
    code, _, err = call("experts", "pairs", judged_run, "--rater", raters, "--each", "14")
    assert code == 0, err
    files = []
    for number, rater in enumerate(raters.split(",")):
        rng = random.Random(number)
        path = tmp_path / f"pairs_{rater}.json"
        files.append(answers_of(judged_run, rater, lambda output, rng=rng: rated(output, rng), path))
    code, out, err = call("experts", "import", *files, "--run", judged_run)
    assert code == 0, err
    assert faults(judged_run) == []  # the seal covers folders, keys and answers
    assert "Pairwise comparisons by people" in out
    lines = {line.split("  ")[0]: line for line in out.splitlines() if line}
    assert "flow_warp - fomm:mode=absolute" in lines
    assert "agreement" in out
    strengths = out.split("Pairs of methods")[0]
    assert strengths.index("flow_warp") < strengths.index("fomm:mode=absolute")
    page = (judged_run / "report.html").read_text(encoding="utf-8")
    assert "Pairwise comparisons by people" in page
    assert "Metrics against pairwise comparisons by people" in page
    assert call("experts", "agreement", judged_run)[1] == out
    code, _, err = call("experts", "import", files[0], "--run", judged_run)
    assert code == 0, err
    assert "earlier answers of anna." in err
    assert len({each.rater for each in read_pairs(judged_run / "pairs.csv")}) == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: made | {"answers": [*made["answers"], None]}, "as the page saved it"),
        (lambda made: made | {"answers": ["up", *made["answers"][1:]]}, "not a file of answers"),
        (lambda made: made | {"answers": [1, *made["answers"][1:]]}, "not a file of answers"),
        (lambda made: made | {"answers": [None] * len(made["answers"])}, "answers none of the questions"),
        (lambda made: made | {"id": "0" * 16}, "has the id 0000000000000000, which no key of this run has"),
        (lambda made: made | {"id": "../../etc"}, "not a file of answers"),
        (lambda made: made | {"format": "MEG-Bench pairs 2"}, "not a file of answers"),
        (lambda made: made | {"rater": "ben"}, "not a file of answers"),
        (lambda made: [made], "not a file of answers"),
        (lambda made: made | {"pad": "x" * LARGEST_ANSWERS}, "larger than"),
    ],
)
def test_answers_that_were_tampered_with_are_refused(call, judged_run, tmp_path, change, said):
    call("experts", "pairs", judged_run, "--rater", "anna", "--each", "5")
    path = answers_of(judged_run, "anna", lambda output: len(output["method"]), tmp_path / "pairs_anna.json")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    code, _, err = call("experts", "import", path, "--run", judged_run)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not (judged_run / "pairs.csv").exists()


def test_what_was_asked_stays_what_it_was(call, judged_run, tmp_path):
    call("experts", "pairs", judged_run, "--rater", "anna", "--each", "5")
    path = answers_of(judged_run, "anna", lambda output: len(output["method"]), tmp_path / "pairs_anna.json")
    code, _, err = call("experts", "pairs", judged_run, "--rater", "anna", "--each", "5")
    assert code == 2
    assert "the rater may be answering" in err
    code, _, err = call("experts", "import", path)
    assert code == 2
    assert "Add --run" in err
    code, _, err = call("experts", "import", path, path, "--run", judged_run)
    assert code == 2
    assert "given twice" in err
    code, _, err = call("experts", "import", path, tmp_path / "sheet.xlsx", "--run", judged_run)
    assert code == 2
    assert "cannot be mixed" in err
    for record in judged_run.glob("cells/*/*/cell.json"):
        record.write_text(json.dumps({**json.loads(record.read_text()), "content": "other"}))
    code, _, err = call("experts", "import", path, "--run", judged_run)
    assert code == 2
    assert "no longer the one that was judged" in err
