"""Intervals, paired tests, tied groups and agreement: laws, published examples, and coverage by simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from megbench.core.statistics import (
    Interval,
    Paired,
    bootstrap_mean,
    corrected,
    holm,
    icc,
    krippendorff_alpha,
    paired,
    paired_all,
    said_p,
    smallest_p,
    tied_groups,
    why_untestable,
)
from megbench.experts.ranks import item_agreement, rank_agreement
from megbench.reports.intervals import p_entry

# Shrout & Fleiss 1979, table 2: six targets, four judges.
SHROUT_FLEISS = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
# Krippendorff 2011, "Computing Krippendorff's alpha-reliability": four observers, twelve units. 0 means missing.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
numbers = st.floats(-100, 100, allow_nan=False, width=32)


@settings(max_examples=25)
@given(st.lists(st.tuples(numbers, st.sampled_from("abcdef")), min_size=1, max_size=30))
def test_an_interval_holds_its_value_and_knows_its_counts(items):
    values, clusters = zip(*items, strict=True)
    found = bootstrap_mean(values, clusters, draws=500)
    assert found.value == pytest.approx(np.mean(values))
    assert (found.n, found.n_clusters) == (len(values), len(set(clusters)))
    if len(set(clusters)) < 5:
        assert (found.low, found.high) == (None, None)
        assert "fewer than five" in found.reason
    else:
        tolerance = 1e-6 * max(map(abs, values)) + 1e-9
        assert min(values) - tolerance <= found.low <= found.high <= max(values) + tolerance


def test_nothing_has_no_interval_but_a_reason():
    assert bootstrap_mean([], []) == Interval(None, None, None, 0, 0, 0.95, "no values")


def test_copies_within_a_driver_do_not_make_the_interval_narrower():
    values, drivers = [1.0, 2.0, 4.0, 7.0, 3.0], list("abcde")
    once, often = bootstrap_mean(values, drivers), bootstrap_mean(np.repeat(values, 50), np.repeat(drivers, 50))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    apart = bootstrap_mean(np.repeat(values, 50), [str(i) for i in range(250)])
    assert apart.high - apart.low < (once.high - once.low) / 5


def test_intervals_of_nine_drivers_cover_the_truth_as_often_as_they_say():
    """A driver's two cells share a part of their value. Plain percentile intervals cover 89 % here."""
    rng = np.random.default_rng(1)
    drivers = np.repeat(np.arange(9), 2).astype(str)
    covered = []
    for _ in range(400):
        found = bootstrap_mean(np.repeat(rng.normal(size=9), 2) + rng.normal(size=18) / 2, drivers, draws=1000)
        covered.append(found.low <= 0 <= found.high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_the_same_seed_draws_the_same():
    values, drivers = np.random.default_rng(0).normal(size=30), list("abcdefghij" * 3)
    assert bootstrap_mean(values, drivers, seed=3) == bootstrap_mean(values, drivers, seed=3)
    assert bootstrap_mean(values, drivers, seed=3) != bootstrap_mean(values, drivers, seed=4)


def test_p_of_nine_drivers_that_all_say_the_same_is_two_in_512():
    cells = {f"d{i}__{t}": float(i + 1) for i in range(9) for t in "ab"}
    driver = {cell: cell.partition("__")[0] for cell in cells}
    found = paired(cells, dict.fromkeys(cells, 0.0), driver)
    assert found.p == 2 / 512
    assert found.difference.value == 5
    assert found.difference.excludes_zero
    assert paired(cells, cells, driver).p == 1
    assert paired(cells, cells, dict.fromkeys(cells, "d")).p is None


def test_flips_of_single_cells_agree_with_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=10), rng.normal(size=10) + 0.7
    first, second = ({str(i): float(v) for i, v in enumerate(values)} for values in (x, y))
    expected = stats.permutation_test((x, y), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=2000)
    assert paired(first, second, {str(i): str(i) for i in range(10)}).p == pytest.approx(expected.pvalue)


def test_many_drivers_are_flipped_at_random_and_p_is_never_zero():
    first = {str(i): 1.0 for i in range(40)}
    found = paired(first, dict.fromkeys(first, 0.0), {cell: cell for cell in first}, draws=2000)
    assert found.p == 1 / 2000


def test_pairs_are_formed_over_shared_cells_only():
    first, second = {"a": 1.0, "b": 2.0, "c": 9.0}, {"a": 0.0, "b": 0.0, "d": 9.0}
    assert paired(first, second, {cell: cell for cell in "abcd"}).difference.n == 2


@pytest.mark.parametrize(
    ("drivers", "methods", "least"),
    [
        (9, 6, "9 drivers, 15 pairs: p cannot go below 0.059"),
        (9, 5, ""),
        (4, 2, "4 drivers, 1 pair: p cannot go below 0.125"),
        (1, 3, "fewer than two drivers: no test"),
    ],
)
def test_rows_that_no_test_could_separate_say_so(drivers, methods, least):
    """This applies no matter how far apart the rows are, even if all drivers agree."""
    cells = [f"d{i}" for i in range(drivers)]
    values = {f"m{k}": {cell: -1000.0 * k - i for i, cell in enumerate(cells)} for k in range(methods)}
    pairs = paired_all(values, {cell: cell for cell in cells})
    assert why_untestable(list(pairs.values()), len(pairs)) == least
    assert all(found.testable() == found.told_apart() == (not least) for found in pairs.values())
    assert all(found.p_adjusted == found.p_least for found in pairs.values())


@given(st.lists(st.integers(2, 12), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_no_corrected_p_is_below_the_smallest_that_its_drivers_allow(drivers, random):
    """Pairs may have different numbers of drivers. Those with the most come first in Holm's steps."""
    none = Interval(None, None, None, 0, 0, 0.95)
    least = [smallest_p(n) for n in drivers]
    pairs = {i: Paired(none, random.uniform(p, 1), p_least=p) for i, p in enumerate(least)}
    assert all(found.p_adjusted >= found.p_least for found in corrected(pairs).values())
    lowest = corrected({i: Paired(none, p, p_least=p) for i, p in enumerate(least)})
    assert all(found.p_adjusted == found.p_least for found in lowest.values())


@pytest.mark.parametrize(
    ("p", "said"), [(0.0, "p < 0.001"), (0.00099, "p < 0.001"), (0.0039, "p = 0.004"), (1.0, "p = 1.000")]
)
def test_a_p_is_never_said_to_be_0(p, said):
    assert said_p(p) == said
    assert p_entry(p, 1).shown(3) == said.removeprefix("p ").removeprefix("= ")


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert list(np.asarray(adjusted)[order]) == sorted(adjusted)


@given(st.integers(1, 6), st.randoms(use_true_random=False))
def test_two_methods_share_a_group_exactly_if_they_are_not_told_apart(count, random):
    order = [f"m{i}" for i in range(count)]
    none = Interval(None, None, None, 0, 0, 0.95)
    pairs = {pair: Paired(none, random.choice([0.001, 0.5])) for pair in itertools.combinations(order, 2)}
    groups = tied_groups(order, pairs)
    for (a, b), found in pairs.items():
        assert bool(set(groups[a]) & set(groups[b])) == (not found.told_apart())
    assert groups[order[0]][0] == 1
    assert set().union(*groups.values()) == set(range(1, max(map(max, groups.values())) + 1))


def test_ties_need_not_be_transitive():
    none = Interval(None, None, None, 0, 0, 0.95)
    pairs = {("a", "b"): Paired(none, 0.3), ("b", "c"): Paired(none, 0.3), ("a", "c"): Paired(none, 0.01)}
    assert tied_groups(["a", "b", "c"], pairs) == {"a": (1,), "b": (1, 2), "c": (2,)}


def test_a_p_that_only_holds_alone_does_not_tell_apart_among_many():
    rng = np.random.default_rng(2)
    cells = [f"d{i}" for i in range(9)]
    values = {m: {c: float(v) for c, v in zip(cells, rng.normal(size=9), strict=True)} for m in "abcdef"}
    values["f"] = {c: v + 0.001 for c, v in values["e"].items()}
    pairs = paired_all(values, {c: c for c in cells})
    assert pairs["e", "f"].p == 2 / 512
    assert pairs["e", "f"].p_adjusted == pytest.approx(15 * 2 / 512)
    assert not pairs["e", "f"].told_apart()


def test_icc_of_shrout_and_fleiss():
    found = icc(SHROUT_FLEISS)
    assert (found.icc21, found.icc31, found.icc3k) == pytest.approx((0.2898, 0.7148, 0.9093), abs=5e-5)
    assert (found.n_items, found.n_raters) == (6, 4)


def test_a_stricter_rater_costs_absolute_agreement_only():
    rng = np.random.default_rng(0)
    quality = rng.normal(size=30)
    found = icc(np.stack([quality, quality - 1, quality - 2], axis=1))
    assert found.icc31 == pytest.approx(1)
    assert found.icc21 < 0.6


def test_icc_leaves_out_unrated_items_and_says_when_there_is_nothing():
    holed = [*SHROUT_FLEISS, [np.nan, 1, 2, 3]]
    assert icc(holed) == icc(SHROUT_FLEISS)
    assert icc([[2, 2], [2, 2], [2, 2]]).icc21 is None
    assert icc([[1, 2]]).reason


def test_alpha_of_krippendorffs_example():
    ratings = np.array(KRIPPENDORFF, float).T
    ratings[ratings == 0] = np.nan
    assert krippendorff_alpha(ratings, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert krippendorff_alpha(ratings, "interval") == pytest.approx(0.849, abs=5e-4)
    assert krippendorff_alpha([[2, 2], [2, 2]]) is None
    assert krippendorff_alpha([[1, np.nan], [np.nan, 2]]) is None


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=9))
def test_kendall_of_one_cell_is_scipys_tau_b(items):
    x, y = zip(*items, strict=True)
    found = rank_agreement(x, y, ["c"] * len(x), ["d"] * len(x), draws=10).kendall
    expected = stats.kendalltau(x, y).statistic
    assert (found.value is None) == bool(np.isnan(expected))
    if found.value is not None:
        assert found.value == pytest.approx(expected)
    else:
        assert found.reason


def test_a_metric_that_orders_as_experts_do_within_cells_is_right_whatever_the_cells_level():
    cells = [f"d{i}" for i in range(6) for _ in range(3)]
    judgements = np.tile([1, 2, 3], 6)
    scores = judgements + np.repeat([0, 50, -50, 7, 100, 3], 3)
    found = rank_agreement(scores, judgements, cells, cells)
    assert (found.kendall.value, found.kendall.low, found.accuracy.value) == (1, 1, 1)
    assert (found.accuracy.n, found.accuracy.n_clusters) == (18, 6)
    assert rank_agreement(-scores, judgements, cells, cells).kendall.value == -1


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=9))
def test_tau_over_all_items_is_scipys_and_its_draws_are_of_repeated_items(items):
    x, y = map(list, zip(*items, strict=True))
    found = item_agreement(x, y, [str(i % 5) for i in range(len(x))], draws=20)
    expected = stats.kendalltau(x, y).statistic
    assert (found.value is None) == bool(np.isnan(expected))
    assert found.value is None or found.value == pytest.approx(expected)
    twice = item_agreement(x * 2, y * 2, [str(i) for i in range(2 * len(x))], draws=20)
    again = stats.kendalltau(x * 2, y * 2).statistic
    assert twice.value is None or twice.value == pytest.approx(again)


def test_a_metric_that_ties_all_has_half_the_pairs_and_no_tau():
    found = rank_agreement([0, 0, 0, 0], [1, 2, 1, 2], list("aabb"), list("aabb"))
    assert found.accuracy.value == 0.5
    assert found.kendall.value is None
    tied = rank_agreement([1, 2], [1, 1], ["a", "a"], ["a", "a"])
    assert tied.accuracy.reason == "the experts are tied on every pair"
    assert "no cell" in rank_agreement([1, 2], [1, 3], ["a", "b"], ["a", "b"]).kendall.reason
