"""Gain: which pairs may be animated, the data of a fold, the leak shown beside the last epoch, and an experiment."""

import csv
import dataclasses
import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.commands import gain_rows
from megbench.commands.gain_rows import Plan, course_of, mirror_copies, no_copies, seen_mark
from megbench.core.confusion import confusion, pooled_recognition, uf1
from megbench.core.errors import BenchError
from megbench.core.paired_recognition import paired_recognition
from megbench.engine.runner import Row
from megbench.recognition import lessons
from megbench.recognition.folds import leave_one_out
from megbench.recognition.lessons import Lesson, learn
from megbench.recognition.mirrored import mirrored, mirrored_and_scaled
from megbench.recognition.pairs import pairs_of
from megbench.recognition.samples import Sample, labelled
from megbench.recognition.ststnet import StstNet
from megbench.recognition.svm import LinearSvm
from megbench.reports.gain import gain_tables
from megbench.reports.gained import Gain, GainRow, differences
from tests import planted_databases as planted
from tests.test_recognisers import crowd


def people_with(counts):
    """Return labelled samples of people with the given numbers of clips, and with meaningless pictures."""
    made = [
        Sample(
            "samm",
            f"samm/{who:03d}",
            f"samm/{who:03d}_{clip}",
            ("anger", "happiness", "surprise")[(who + clip) % 3],
            np.full((3, 28, 28), who, np.float32),
            0,
            1,
            True,
            (f"{who} {clip} onset", f"{who} {clip} apex"),
        )
        for who, count in enumerate(counts)
        for clip in range(count)
    ]
    return labelled(made, "megc2019")


crowds = st.lists(st.integers(1, 4), min_size=3, max_size=7).filter(lambda counts: sum(counts) > 3)


class TestPairs:
    @given(crowds, st.integers(1, 3), st.integers(0, 5))
    def test_no_fold_sees_its_held_out_person(self, counts, each, seed):
        data = people_with(counts)
        folds = leave_one_out(data)
        pairs = pairs_of(data, folds, each, seed)
        of_driver, of_face = folds.fold_of[pairs.drivers], folds.fold_of[pairs.templates]
        assert (of_driver != of_face).all()
        for fold, used in enumerate(pairs.used):
            assert not (of_driver[used] == fold).any()
            assert not (of_face[used] == fold).any()
            others = np.flatnonzero(folds.fold_of != fold)
            times = np.bincount(pairs.drivers[used], minlength=len(data.labels))
            assert (times[others] == min(each, len(counts) - 2)).all()
        assert (np.bincount(pairs.drivers) <= each + 1).all()
        again = pairs_of(data, folds, each, seed)
        assert np.array_equal(again.templates, pairs.templates)

    def test_people_who_share_a_frame_are_one_person(self):
        """If two people share a recording, neither is the other's template nor trained on in the other's fold."""
        data = people_with([2, 2, 2, 2])
        copied = [*data.samples]
        copied[2] = dataclasses.replace(copied[2], pixels=(copied[2].pixels[0], copied[0].pixels[0]))
        data = labelled(copied, "megc2019")
        folds = leave_one_out(data)
        pairs = pairs_of(data, folds, 2)
        same = {"samm/000", "samm/001"}
        for driver, face in zip(pairs.drivers, pairs.templates, strict=True):
            assert {data.people[driver], data.people[face]} != same
        (fold,) = {folds.fold_of[0], folds.fold_of[2]}
        used = pairs.used[fold]
        assert not {data.people[place] for place in [*pairs.drivers[used], *pairs.templates[used]]} & same

    def test_two_people_are_too_few(self):
        data = people_with([2, 2])
        with pytest.raises(BenchError, match="show 2 people; measuring a gain requires at least three"):
            pairs_of(data, leave_one_out(data))


def plan_of(data, each=1):
    folds = leave_one_out(data)
    return Plan(data, folds, pairs_of(data, folds, each), each, 0)


def copies_with(plan, pictures):
    """Return copies of all pairs as `gain_rows.copies_of` makes them."""
    pairs = plan.pairs
    return gain_rows.Copies("real + x", "generator", pictures, pairs.drivers, pairs.used, {})


class TestLessons:
    @pytest.mark.parametrize("each", [1, 2])
    def test_a_fold_is_handed_nothing_of_whom_it_holds_out(self, each):
        """Changing the pictures, labels and copies of the person held out changes only the pictures to be classified.

        Therefore no scale, batch or pool of motion can contain anything of that person.
        """
        data = crowd(people=4, each=1)
        plan = plan_of(data, each)
        pairs = plan.pairs
        made = np.random.default_rng(0).normal(size=(len(pairs.drivers), 3, 28, 28)).astype(np.float32)
        for fold in range(4):
            mine = plan.folds.fold_of == fold
            touched = mine[pairs.drivers] | mine[pairs.templates]
            other = Plan(_with_others(data, mine), plan.folds, pairs, each, 0)
            for one, two in (
                (no_copies(plan), no_copies(other)),
                (mirror_copies(plan), mirror_copies(other)),
                (copies_with(plan, made), copies_with(other, np.where(touched[:, None, None, None], 99, made))),
            ):
                first, second = course_of(plan, one).lesson(fold), course_of(other, two).lesson(fold)
                assert np.array_equal(first.pictures, second.pictures), one.name
                assert np.array_equal(first.labels, second.labels)
                assert not np.array_equal(first.asked, second.asked)
                assert len(first.labels) == 9 + (0 if one.kind == "real" else 9 * each)
        leaky = dataclasses.replace(pairs, used=np.ones_like(pairs.used))
        wrong = dataclasses.replace(plan, pairs=leaky)
        seen = course_of(wrong, copies_with(wrong, made))
        assert len(seen.lesson(0).labels) > 9 + 9 * each  # so this test would detect a leak

    def test_the_last_epoch_counts_whatever_the_test_epochs_were(self):
        data = crowd(people=3, each=1, noise=3)
        recogniser = StstNet(epochs=6, lr=0.02, batch=4, seeds=(0, 1))
        mine = np.array(data.people) == "samm/000"
        lesson = Lesson(data.pictures[~mine], data.labels[~mine], data.pictures[mine], data.labels[mine], 3)
        found = learn(recogniser, lesson)
        plain = recogniser.answers(
            lesson.pictures, lesson.labels, np.ones((1, 6), bool), lesson.asked, np.zeros(3, np.int64), 3
        )
        assert np.array_equal(found.answers, plain)
        right = [(np.array(rows) == lesson.true).sum(1) for rows in (found.habit, found.answers)]
        assert (right[0] >= right[1]).all()
        other = learn(recogniser, dataclasses.replace(lesson, true=2 - lesson.true))
        assert other.answers == found.answers
        assert other.habit != found.habit
        assert learn(LinearSvm(), lesson).habit is None

    def test_choosing_test_epochs_finds_something_in_noise(self):
        noise = np.random.default_rng(3).normal(0, 0.01, (18, 3, 28, 28)).astype(np.float32)
        true, who = np.tile([0, 1, 2], 6), np.arange(18) // 3
        last, best = np.zeros(18, int), np.zeros(18, int)
        for person in range(6):
            mine = who == person
            lesson = Lesson(noise[~mine], true[~mine], noise[mine], true[mine], 3)
            found = learn(StstNet(epochs=20, lr=0.003, seeds=(0,)), lesson)
            (last[mine],), (best[mine],) = found.answers, found.habit
        assert uf1(confusion(true, best, 3)) > uf1(confusion(true, last, 3)) + 0.1

    def test_a_mirror_twice_is_no_mirror_and_amplitudes_have_bounds(self):
        data = crowd(people=3, each=1)
        pictures = data.pictures
        assert np.array_equal(mirrored(mirrored(pictures[0])), pictures[0])
        assert np.array_equal(mirrored(pictures[0])[0, :, 0], -pictures[0][0, :, -1])
        first, second = mirrored_and_scaled(data, 2).reshape(2, 9, 3, 28, 28)
        for copies, base in ((first, np.stack([mirrored(one) for one in pictures])), (second, pictures)):
            scales = (copies * base).sum((1, 2, 3)) / (base**2).sum((1, 2, 3))
            assert np.allclose(copies, scales[:, None, None, None] * base, atol=1e-6)
            assert (scales >= 1 / 1.5).all()
            assert (scales <= 1.5).all()
            assert len(set(scales.round(6).tolist())) == 9


def _with_others(data, mine):
    """Return the data with other pictures and labels for the samples selected by `mine`."""
    samples = tuple(
        dataclasses.replace(one, picture=50 - 3 * one.picture) if changed else one
        for one, changed in zip(data.samples, mine, strict=True)
    )
    return dataclasses.replace(data, samples=samples, labels=np.where(mine, 2 - data.labels, data.labels))


class TestDifferences:
    @settings(max_examples=25)
    @given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=8, max_size=8))
    def test_a_difference_is_that_of_pooled_scores_and_p_exchanges_people(self, clips):
        true, first, second = np.array([[0, 0, 0], [1, 1, 1], *clips]).T
        people = list("aabbccddee")
        found = paired_recognition(true, first[None], second[None], 3, people)

        def uf1_of(said):
            return float(uf1(confusion(true, said, 3)))

        observed = uf1_of(first) - uf1_of(second)
        assert found["uf1"].difference.value == pytest.approx(observed)
        assert uf1_of(first) == pytest.approx(pooled_recognition(true, first[None], 3, people).uf1.value)
        exchanged = []
        for flips in itertools.product([True, False], repeat=5):
            keep = np.array([dict(zip("abcde", flips, strict=True))[one] for one in people])
            exchanged.append(uf1_of(np.where(keep, first, second)) - uf1_of(np.where(keep, second, first)))
        assert found["uf1"].p == pytest.approx(np.mean(np.abs(exchanged) >= abs(observed) - 1e-9))
        back = paired_recognition(true, second[None], first[None], 3, people)
        assert back["uar"].difference.value == pytest.approx(-found["uar"].difference.value)

    def test_without_two_classes_there_is_no_difference(self):
        found = paired_recognition(np.ones(4, int), np.ones((1, 4), int), np.zeros((1, 4), int), 3, list("abcd"))
        assert found["uf1"].difference.value is None
        assert found["uf1"].p is None
        assert "fewer than two classes" in found["uf1"].difference.reason


def gain_of(rows, epochs=None):
    true = np.tile([0, 1, 2], 6)
    people = tuple(f"p{place // 3}" for place in range(18))
    clips = tuple(f"c{place}" for place in range(18))
    return Gain("svm", epochs, 1, 1, ("a", "b", "c"), {"samm": (18, 6)}, clips, people, true, tuple(rows), ())


def row(name, kind, answers, habit=None, marks=None, **others):
    return GainRow(name, kind, np.array([answers]), habit, (0,) * 6, marks or {}, **others)


class TestTables:
    right, wrong = [0, 1, 2] * 6, [0] * 18

    def test_leaks_are_beside_the_figures_and_marked(self):
        gain = gain_of([row("real only", "real", self.wrong, np.array([self.right]))], epochs=5)
        table = gain_tables(gain, show_leak=True)["gain"]
        assert table.column_groups()[-1] == ("Not a result", 3)
        line = next(table.rows())
        assert [entry.value for entry in line[-3:]] == pytest.approx([1, 1, 5 / 6])
        assert any("is not a result" in note for note in table.footnotes)
        plain = gain_tables(gain, show_leak=False)["gain"]
        assert not any("best test" in column.note.lower() for column in plain.columns)
        without = gain_tables(gain_of([row("real only", "real", self.right)]), show_leak=True)["gain"]
        assert [entry.value for entry in next(without.rows())[-3:]] == [None] * 3
        assert "no epochs to choose from" in without.text()

    def test_every_row_is_held_against_real_and_generators_against_controls(self):
        marked = {"trained on 2 of 6 people": gain_rows.SEEN}
        rows = [
            row("real only", "real", self.wrong),
            row("real + still copies", "control", self.wrong),
            row("real + fomm", "generator", self.right, marks=marked),
        ]
        found = differences(gain_of(rows))["uf1"]
        assert list(found) == [
            ("real + fomm", "real only"),
            ("real + still copies", "real only"),
            ("real + fomm", "real + still copies"),
        ]
        best = found["real + fomm", "real only"]
        assert best.difference.value == pytest.approx(5 / 6)
        assert (best.p, best.p_adjusted) == pytest.approx((2 / 64, 6 / 64))
        for table in gain_tables(gain_of(rows), show_leak=False).values():
            entries = [line[0] for line in table.rows() if line[0].value == "real + fomm"]
            assert entries
            assert all(entry.remark == "trained on 2 of 6 people" for entry in entries)
            assert any(note.startswith("real + fomm (trained on 2 of 6 people): ") for note in table.footnotes)

    def test_nothing_answered_is_a_dash_with_its_reason(self):
        rows = [row("real only", "real", self.right), row("real + x", "generator", [-1] * 18, reason="x made nothing")]
        tables = gain_tables(gain_of(rows), show_leak=False)
        line = next(line for line in tables["gain"].rows() if line[0].value == "real + x")
        assert (line[1].value, line[1].reason) == (None, "x made nothing")
        (difference,) = tables["gain_differences"].rows()
        assert difference[1].value is None


def test_weights_that_have_seen_people_are_marked():
    data = people_with([2, 2, 2])
    seen = Row("x", "x", "", {}, None, False, {}, seen={"people": ["samm/001"], "clips": ["samm/002_1", "smic/9"]})
    assert list(seen_mark(seen, data)) == ["trained on 2 of 3 people"]
    assert seen_mark(dataclasses.replace(seen, seen={"people": ["smic/001"]}), data) == {}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return planted.store(tmp_path_factory.mktemp("planted") / "samm", "samm", [11, 12, 13], takes=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.usefixtures("in_this_process")
class TestCommand:
    @pytest.fixture(autouse=True)
    def kept(self, cache, monkeypatch):
        monkeypatch.setattr("megbench.commands.gain.STORE", cache)

    def test_a_whole_experiment_stopped_twice(self, call, store, tmp_path, monkeypatch):
        """An experiment stopped while animating and while learning ends with the same bytes as an undisturbed one."""
        given = ("gain", "flow_warp", "--clips", f"samm={store}", "--by", "ststnet", "--epochs", "3", "--show-leak")
        asked = (*given, "--workers", "1", "--out")
        write, save = gain_rows.write_kept, gain_rows.animate
        for stop in ("animate", "write_kept"):
            calls = itertools.count()

            def stopping(*arguments, calls=calls, real=save if stop == "animate" else write):
                if next(calls) == (0 if real is save else 4):
                    raise KeyboardInterrupt
                return real(*arguments)

            with monkeypatch.context() as patch:
                patch.setattr(gain_rows, stop, stopping)
                assert call(*asked, tmp_path / "a")[0] == 130
            assert not (tmp_path / "a" / "gain.json").exists()
        taught, learn = [], lessons.learn
        monkeypatch.setattr(lessons, "learn", lambda *given: taught.append(1) or learn(*given))
        code, out, err = call(*asked, tmp_path / "a")
        assert code == 0, err
        assert len(taught) == 3 * 4 - 4
        assert "real + still copies" in out
        assert call(*asked, tmp_path / "b")[0] == 0
        names = ("gain.json", "gain.html", "gain.csv", "gain_differences.csv")
        for name in names:
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name

        facts = json.loads((tmp_path / "a" / "gain.json").read_text())
        rows = {one["name"]: one for one in facts["rows"]}
        assert list(rows) == ["real only", "real + still copies", "real + mirror", "real + flow_warp"]
        assert rows["real + flow_warp"]["added_by_fold"] == [6, 6, 6] == rows["real + mirror"]["added_by_fold"]
        assert np.shape(rows["real only"]["answers"]) == (3, 9)
        assert rows["real only"]["best_test_epoch"]["not_a_result"]
        table = list(csv.DictReader((tmp_path / "a" / "gain.csv").open()))
        assert "leak_uf1" in table[0]
        code, _, _ = call(*[one for one in asked if one != "--show-leak"], tmp_path / "a")  # nothing is learned again
        assert code == 0
        assert len(taught) == 3 * 4 - 4 + 12
        assert "best_test_epoch" not in (tmp_path / "a" / "gain.json").read_text()

    def test_copies_show_what_their_drivers_do(self, call, store, cache, tmp_path):
        """Planted rules survive the transfer to another face, and a still copy has no motion."""
        assert call("gain", "flow_warp", "--clips", f"samm={store}", "--workers", "1", "--out", tmp_path / "a")[0] == 0
        learning = tmp_path / "a" / "learning"
        assert not np.load(learning / "real_+_still_copies.npz")["pictures"][9:].any()
        warped = np.load(learning / "real_+_flow_warp.npz")
        labels, pictures = warped["labels"], warped["pictures"].reshape(len(warped["labels"]), -1)
        means = np.stack([pictures[:9][labels[:9] == k].mean(0) for k in range(3)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        assert np.mean((pictures[9:] @ means.T).argmax(1) == labels[9:]) > 0.9

    def test_a_dry_run_says_how_long_it_takes(self, call, store, tmp_path):
        code, out, _ = call("gain", "flow_warp", "--clips", f"samm={store}", "--by", "ststnet", "--dry-run")
        assert code == 0
        assert "9 clips of 3 people (negative, positive, surprise), 3 folds." in out
        assert "ststnet on 3 folds of each row" in out
        assert re.search(r"Not yet timed here: (still, flow_warp, )?flow, ststnet\. ", out)
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (("flow_warp", "--clips", "{store}"), "must be rendered or NAME=PATH"),
            (("flow_wrap", "--clips", "samm={store}"), "Did you mean 'flow_warp'"),
            (("truth", "--clips", "samm={store}"), "truth requires a truth, which pairs of clips do not have"),
            (("flow_warp", "--clips", "samm={store}", "--epochs", "5"), "svm has no epochs"),
            (("tps_rau:au_source=table", "--clips", "samm={store}"), "none of the 18 pairs can be animated"),
            (("flow_warp", "--clips", "samm={two}"), "show 2 people; measuring a gain requires at least three"),
            (("flow_warp", "--clips", "samm={same}"), "show positive; a recogniser needs at least two classes"),
        ],
    )
    def test_bad_input_is_one_line(self, call, store, tmp_path, given, message):
        def fewer(name, wanted):
            """Make a store with only some of the clips."""
            facts = json.loads((store / "store.json").read_text())
            (tmp_path / name).mkdir()
            for clip in facts["clips"]:
                (tmp_path / name / clip).symlink_to(store / clip)
            kept = {clip: value for clip, value in facts["clips"].items() if wanted(clip)}
            (tmp_path / name / "store.json").write_text(json.dumps({**facts, "clips": kept}))
            return tmp_path / name

        places = {
            "store": store,
            "two": fewer("two", lambda clip: not clip.startswith("013")),
            "same": fewer("same", lambda clip: "_po_" in clip),
        }
        code, _, err = call("gain", *(text.format(**places) for text in given))
        assert code == 2
        assert err.count("Error:") == 1
        assert message in err.replace("\n", " ")
