"""What scores reward: which row is best in each figure, in the report and in docs/what_scores_reward.md."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megbench.commands.rewards_page import HEAD, PAGE, VBENCH, page
from megbench.core.errors import BenchError
from megbench.core.figures import Figure
from megbench.core.registry import load
from megbench.metrics import METRICS, ON_REQUEST
from megbench.reports.html import Pictures, write_report
from megbench.reports.rewards import COMPARED, asked, best, rewards, rewards_table, summary
from megbench.reports.run_files import FinishedRun
from tests.report_fixture import CONTROLS, make_run


@given(
    st.dictionaries(st.sampled_from(COMPARED), st.floats(-2, 2), min_size=2),
    st.sampled_from([(0, (0, None)), (1, (-1, 1)), (1, (0, None))]),
)
def test_best_is_who_is_nearest_to_the_ideal(values, kind):
    figure = Figure("x", "X", target="driver", ideal=kind[0], bounds=kind[1], description="")
    first = best(figure, values)
    assert first
    nearest = min(figure.distance(value) for value in values.values())
    for label, value in values.items():
        assert (label in first) <= (figure.distance(value) < nearest + 2e-3)
        assert figure.distance(value) > nearest or label in first


def test_alone_nobody_is_best():
    figure = Figure("x", "X", target="driver", ideal=1, bounds=(0, 1), description="")
    assert best(figure, {"still": 1.0}) == best(figure, {}) == ()


def with_truth(folder):
    """Return the fixture's run with its row `wrong_driver` renamed to `truth`. Its row `still` stays as it is."""
    for file in ("run.json", "scores.csv"):
        (folder / file).write_text((folder / file).read_text().replace("wrong_driver", "truth"))
    return FinishedRun(folder)


def test_the_table_names_who_is_best_in_every_figure(tmp_path):
    run = with_truth(make_run(tmp_path / "run", 1))
    table = rewards_table(run)
    assert [column.title for column in table.columns] == ["figure", "still", "truth", "ideal", "best"]
    rows = {row[0].value.split()[0]: [entry.value for entry in row[1:]] for row in table.rows()}
    assert rows["agreement"] == [CONTROLS["still"], CONTROLS["wrong_driver"], 1, "truth"]
    assert rows["identity_distance"][2:] == [0, "truth"]
    assert len(rows) == len(rewards(run))
    assert summary(run) == [f"The truth alone is best in {len(rows)} of {len(rows)} figures."]


def test_a_figure_that_a_still_face_wins_is_named(tmp_path):
    folder = make_run(tmp_path / "run", 1)
    lines = (folder / "scores.csv").read_text().splitlines()
    turned = [
        re.sub(r"(identity_distance),0\.[0-9]+", r"\1,0.0", line) if line.startswith("still,") else line
        for line in lines
    ]
    (folder / "scores.csv").write_text("\n".join(turned))
    sentences = summary(with_truth(folder))
    assert "A control is better than the truth in 1: identity_distance." in sentences
    assert "A still face is best, alone or with others, in 1: identity_distance." in sentences


def test_without_controls_there_is_no_table_and_no_page(tmp_path):
    folder = make_run(tmp_path / "run", 1)
    with pytest.raises(BenchError, match="the row truth or every other control is missing"):
        page(FinishedRun(folder))
    facts = json.loads((folder / "run.json").read_text())
    facts["methods"] = [method for method in facts["methods"] if method["label"] != "still"]
    (folder / "run.json").write_text(json.dumps(facts))
    assert rewards_table(FinishedRun(folder)) is None
    assert summary(FinishedRun(folder)) == []
    assert "What scores reward" not in write_report(folder, Pictures.none).read_text(encoding="utf-8")


def test_the_page_in_docs_has_the_generators_form_and_every_figure():
    """Its numbers come from a run. After adding a metric, run: python -m megbench.commands.rewards_page RUN."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(HEAD)
    assert text.endswith(VBENCH)
    assert f"| figure | {' | '.join(label.replace('_', chr(92) + '_') for label in COMPARED)} | ideal | best |" in text
    rows = re.findall(r"^\| (\S+) .*\|$", text.replace("\\_", "_"), re.MULTILINE)
    (requested,) = re.findall(r"^This run did not measure (.*), which are measured only on request\.$", text, re.M)
    unmeasured = re.findall(r"^Without a value here(?: in part)?: ([^:]*): ", text.replace("\\_", "_"), re.MULTILINE)
    for name in METRICS:
        if f"`{name}`" in requested:
            assert name in ON_REQUEST
            continue
        for figure in filter(asked, load("metric", name, METRICS).figures):
            named = figure.name in rows or any(figure.name in why or name == why for why in unmeasured)
            assert named, "python bench.py ...; python -m megbench.commands.rewards_page RUN"
