"""The findings of selfcheck are in the explanations, but only for the metric version that was checked."""

import json

import pytest

from megbench.core.errors import BenchError
from megbench.core.figures import Figure
from megbench.core.registry import load
from megbench.metrics import METRICS
from megbench.reports.headlines import entry
from megbench.reports.run_facts import MetricFacts
from megbench.reports.run_files import Found
from megbench.reports.selfcheck import KEPT, read_worth, sentence
from megbench.reports.table import Column, Entry, Section, Table

FIGURE = Figure("gain", "Gain", target="driver", ideal=1, description="A stand-in.")
METRIC = MetricFacts(name="motion_agreement", version="1", figures=(FIGURE,))


def test_a_sentence_only_for_the_version_that_was_checked(tmp_path):
    path = tmp_path / "kept.json"
    assert sentence(METRIC, FIGURE, path) == ""
    read_worth.cache_clear()
    figure = {"metric": "motion_agreement", "version": "1", "line": "sees amplitude"}
    path.write_text(json.dumps({"date": "2026-11-24", "cells": 3, "figures": {"gain": figure}}))
    assert sentence(METRIC, FIGURE, path).endswith("3 degraded ground-truth clips, 2026-11-24: sees amplitude.")
    assert sentence(METRIC.model_copy(update={"version": "2"}), FIGURE, path) == ""


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "damaged.json"
    path.write_text("{")
    with pytest.raises(BenchError, match="selfcheck --keep"):
        read_worth(path)


@pytest.mark.skipif(not KEPT.exists(), reason="no outcome is kept: python bench.py selfcheck --keep")
def test_the_kept_outcome_is_of_the_metrics_as_they_are():
    kept = read_worth(KEPT)
    for name, judgement in kept.figures.items():
        metric = load("metric", judgement.metric, METRICS)
        assert judgement.version == metric.version, name
        assert name in {figure.name for figure in metric.figures}


def test_a_warning_stands_beside_the_number_and_unequal_counts_are_not_compared():
    def scored(pictures):
        return entry(Found(71.2, "ok", "", 18, 18, f"{pictures} and 356 pictures"))

    assert scored(720).remark == "720 and 356 pictures"
    columns = (Column("method"), Column("FID", better=False))

    def table(*counts):
        rows = tuple((Entry(str(k)), scored(count)) for k, count in enumerate(counts))
        return Table("t", columns, (Section("", rows),))

    assert table(720, 720).best(1) == pytest.approx(71.2)
    assert table(720, 700).best(1) is None
