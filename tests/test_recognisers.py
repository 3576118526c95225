"""Recognisers and their scores: pooling as in MEGC2019, separate folds, STSTNet and a support vector machine."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score
from torch import nn

from megbench.core.confusion import by_chance, confusion, constant, pooled_recognition, uar, uf1
from megbench.core.errors import BenchError
from megbench.recognition.classes import own_class, three_classes
from megbench.recognition.folds import leave_one_out, may_learn
from megbench.recognition.recogniser import answers_left_out, make_recogniser
from megbench.recognition.samples import Sample, labelled
from megbench.recognition.ststnet import SIDE, GroupedNet, StstNet, _scales, cut, parameters
from megbench.recognition.svm import LinearSvm

answered = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=40)


def sample(person, emotion, picture, database="samm"):
    who, clip = f"{database}/{person}", f"{database}/{person}_{id(picture)}"
    return Sample(database, who, clip, emotion, picture, 0, 1, True, (f"{clip} onset", f"{clip} apex"))


def crowd(people=5, each=2, noise=0.3, seed=0):
    """Return labelled samples: each person shows three emotions, and pictures vary around one pattern per emotion."""
    rng = np.random.default_rng(seed)
    patterns = rng.normal(0, 0.01, (3, 3, SIDE, SIDE))
    made = [
        sample(f"{who:03d}", word, (patterns[kind] + rng.normal(0, 0.01 * noise, patterns[0].shape)).astype(np.float32))
        for who in range(people)
        for kind, word in enumerate(("anger", "happiness", "surprise"))
        for _ in range(each)
    ]
    return labelled(made, "megc2019")


@given(answered)
def test_scores_are_scikit_learns_over_the_classes_shown(pairs):
    true, said = np.array(pairs).T
    counts = confusion(true, said, 3)
    shown = sorted(set(true.tolist()))
    if len(shown) < 2:
        assert np.isnan(uf1(counts))
        assert np.isnan(uar(counts))
        return
    assert uf1(counts) == pytest.approx(f1_score(true, said, labels=shown, average="macro", zero_division=0))
    assert uar(counts) == pytest.approx(recall_score(true, said, labels=shown, average="macro", zero_division=0))


def test_scores_are_pooled_over_folds_as_megc2019_does():
    """The scores are computed by hand for two people in one matrix. Means of two folds' scores would differ."""
    true, said = np.array([0, 0, 1, 2, 0, 1]), np.array([0, 1, 1, 2, 0, 0])
    found = pooled_recognition(true, said[None], 3, ["a", "a", "a", "a", "b", "b"])
    # negative: 2 hits, 1 false, 1 missed; positive: 1 hit, 1 false, 1 missed; surprise: 1 hit.
    assert found.uf1.value == pytest.approx((4 / 6 + 2 / 4 + 1) / 3)
    assert found.uar.value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found.uf1.low is None  # two people
    # With two seeds, the scores are averaged and the matrices are added.
    both = pooled_recognition(true, np.stack([said, true]), 3, list("aaaabb"))
    assert both.of_seeds == (found.uf1.value, 1.0)
    assert both.uf1.value == pytest.approx((found.uf1.value + 1) / 2)
    assert both.counts.sum() == 12


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_one_answer_to_everything_has_the_closed_forms(first, second, third):
    shown = np.array([first, second, third])
    counts = constant(shown, 0)
    share = first / shown.sum()
    assert uf1(counts) == pytest.approx(2 * share / (3 * (1 + share)))
    assert uar(counts) == pytest.approx(1 / 3)
    true = np.repeat([0, 1, 2], shown)
    weighted = f1_score(true, np.zeros_like(true), average="weighted", zero_division=0)
    assert weighted == pytest.approx(2 * share**2 / (1 + share))


def test_intervals_draw_drivers_and_keep_every_class():
    """If every answer is the same, the recall is 1/3 however drivers are drawn."""
    true, drivers = np.repeat([0, 1, 2], 6), [str(k // 2) for k in range(18)]
    one = pooled_recognition(true, np.zeros((1, 18), np.int64), 3, drivers)
    assert (one.uar.low, one.uar.value, one.uar.high) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert one.uf1.low < one.uf1.value < one.uf1.high
    assert (one.uf1.n, one.uf1.n_clusters) == (18, 9)
    said = true.copy()
    said[:2] = 1
    most = pooled_recognition(true, said[None], 3, drivers)
    assert most.uf1.low < most.uf1.value < most.uf1.high == 1


def test_chance_by_hand():
    counts = by_chance(np.array([6, 3, 3]))
    assert uar(counts) == pytest.approx(1 / 3)
    assert uf1(counts) == pytest.approx((2 * 2 / (6 + 4) + 2 * (2 * 1 / (3 + 4))) / 3)


def test_what_cannot_be_scored_is_absent_not_zero():
    one_class = pooled_recognition(np.array([1, 1]), np.array([[1, 0]]), 3, ["a", "b"])
    assert one_class.uf1.value is None
    assert one_class.uf1.reason == "all clips show the same class"
    nothing = pooled_recognition(np.array([1, 0]), np.array([[-1, -1]]), 3, ["a", "b"])
    assert nothing.uar.value is None
    assert nothing.uar.reason == "no clip has a prediction"


def test_classes_are_those_of_the_composite_database():
    assert three_classes("casme2", "repression") == three_classes("samm", "Fear") == "negative"
    assert three_classes("casme2", "fear") is None
    assert three_classes("smic-vis", "positive") == three_classes("samm", "happiness") == "positive"
    assert three_classes("samm", "other") is None
    assert own_class("samm", "Other") == "Other"
    assert own_class("table", "not coded") is None


def test_folds_hold_out_whoever_shares_a_clips_pixels():
    data = crowd(people=3, each=1)
    copied = [*data.samples]
    # A clip of the second person has the same apex frame as one of the first person's.
    copied[3] = dataclasses.replace(copied[3], pixels=(copied[3].pixels[0], copied[0].pixels[1]))
    data = labelled(copied, "megc2019")
    folds = leave_one_out(data)
    assert folds.people == ("samm/000", "samm/002")
    assert folds.training.tolist() == [[False] * 6 + [True] * 3, [True] * 6 + [False] * 3]
    assert any("samm/001 share a frame with another person" in note for note in folds.notes)
    assert may_learn(data, ["samm/001"], []).tolist() == [False] * 6 + [True] * 3
    assert may_learn(data, [], [copied[7].pixels[0]]).tolist() == [True] * 6 + [False] * 3
    assert may_learn(data, ["samm/999"], ["unseen"]).all()


def test_bad_databases_are_one_line_or_a_note():
    data = crowd(people=2, each=1)
    with pytest.raises(BenchError, match="show surprise; a recogniser needs at least two classes"):
        labelled([data.samples[2], data.samples[5]], "megc2019")
    with pytest.raises(BenchError, match=r"show 1 person \(samm/000\); leaving one person out requires at least two"):
        leave_one_out(labelled(data.samples[:3], "megc2019"))
    odd = [*data.samples[:2], *data.samples[3:4], dataclasses.replace(data.samples[5], emotion="other")]
    with_notes = leave_one_out(labelled(odd, "megc2019"))
    assert with_notes.notes == (
        "clips with an emotion outside the classes: 1 of 4 (other)",
        "folds trained without a class that only the held-out person shows: 1 of 2 (samm/000)",
        "people with only one clip: 1 of 2",
    )
    with pytest.raises(BenchError, match="Choices: ststnet, svm"):
        make_recogniser("resnet")


@pytest.mark.parametrize("recogniser", [LinearSvm(), StstNet(epochs=30, lr=0.003, batch=8, seeds=(0,))])
class TestEveryRecogniser:
    def test_recognises_what_was_planted(self, recogniser):
        data = crowd()
        (said,) = answers_left_out(recogniser, data, leave_one_out(data))
        assert uf1(confusion(data.labels, said, 3)) > 0.9

    def test_learns_nothing_from_who_is_held_out(self, recogniser):
        """Changing the held-out person's pictures and labels changes none of the fold's answers, even by a scale."""
        recogniser = dataclasses.replace(recogniser, **({"epochs": 2} if recogniser.name == "ststnet" else {}))
        data, other = crowd(), crowd(noise=3.0, seed=1)
        mine = np.array(data.people) == "samm/000"
        pictures = np.where(mine[:, None, None, None], 50 * other.pictures, data.pictures)
        labels = np.where(mine, 2 - data.labels, data.labels)
        asked = crowd(noise=1.0, seed=2).pictures[:7]
        folds = leave_one_out(data)
        ask = asked, np.zeros(len(asked), np.int64), 3
        before = recogniser.answers(data.pictures, data.labels, folds.training, *ask)
        after = recogniser.answers(pictures, labels, folds.training, *ask)
        assert np.array_equal(before, after)
        everything = np.ones_like(folds.training)
        assert not np.array_equal(before, recogniser.answers(pictures, labels, everything, *ask))

    def test_answers_nothing_after_learning_from_nothing_and_one_class_after_one(self, recogniser):
        data = crowd(people=2, each=1)
        training = np.array([[False] * 6, [True, False, False, True, False, False]])
        fold_of = np.array([0, 1, 1, 0, 1, 1])
        (said,) = dataclasses.replace(recogniser).answers(
            data.pictures, data.labels, training, data.pictures, fold_of, 3
        )
        assert said.tolist() == [-1, 0, 0, -1, 0, 0]


def test_a_recogniser_of_stretched_pictures_sees_no_amplitude():
    data = crowd()
    faint = data.pictures * np.geomspace(0.01, 1, len(data.labels), dtype=np.float32)[:, None, None, None]
    folds = leave_one_out(data)

    def said(recogniser, pictures):
        return recogniser.answers(data.pictures, data.labels, folds.training, pictures, folds.fold_of, 3)

    stretching = make_recogniser("svm", stretch=True)
    assert stretching.name == "svm (stretched)"
    assert np.array_equal(said(stretching, faint), said(stretching, data.pictures))
    assert not np.array_equal(said(LinearSvm(), faint), said(LinearSvm(), data.pictures))


class Plain(nn.Module):
    """STSTNet built layer by layer from the paper's table."""

    def __init__(self):
        super().__init__()
        self.streams = nn.ModuleList(nn.Conv2d(3, kernels, 3, padding=1) for kernels in (3, 5, 8))
        self.last = nn.Linear(400, 3)

    def forward(self, x):
        planes = torch.cat([torch.relu(nn.functional.max_pool2d(s(x), 3, 3, padding=1)) for s in self.streams], 1)
        return self.last(nn.functional.avg_pool2d(planes, 2).permute(0, 2, 3, 1).flatten(1))


def plain_of(net, fold):
    """Return the plain network with one fold's weights. Its inputs must be divided by the fold's scales."""
    plain = Plain()
    kernels, biases = net.kernels[fold].detach().split((3, 5, 8)), net.bias[fold].detach().split((3, 5, 8))
    for stream, kernel, bias in zip(plain.streams, kernels, biases, strict=True):
        stream.weight.data = kernel.reshape(-1, 3, 3, 3).clone()
        stream.bias.data = bias.clone()
    last = net.last[fold].detach().reshape(16, 25, 3).permute(2, 1, 0).reshape(3, 400)
    plain.last.weight.data, plain.last.bias.data = last.clone(), net.last_bias[fold, 0].detach().clone()
    return plain


def test_ststnet_has_the_parameters_of_its_table():
    assert sum(p.numel() for p in Plain().parameters()) == parameters(3) == 84 + 140 + 224 + 1203
    net = GroupedNet(np.ones((2, 3), np.float32), 3, 0, np.ones(2, bool))
    assert sum(p.numel() for p in net.weights) == 2 * 1651


def test_folds_together_learn_what_each_learns_alone():
    """The grouped network equals the table's layers trained by a plain loop, one fold after the other."""
    data = crowd(people=3, each=2)
    folds = leave_one_out(data)
    recogniser = StstNet(epochs=3, lr=0.003, batch=7, seeds=(4,))
    scales = _scales(data.pictures, folds.training)
    start = GroupedNet(scales, 3, 4, folds.training.any(1))
    *_, together = recogniser.epochs_of(data.pictures, data.labels, folds.training, 3, 4)
    truth = torch.from_numpy(data.labels)
    for fold, learns in enumerate(folds.training):
        plain, x = plain_of(start, fold), torch.from_numpy(data.pictures / scales[fold][:, None, None])
        adam, rng = torch.optim.Adam(plain.parameters(), lr=0.003), np.random.default_rng(4)
        for _ in range(3):
            for batch in torch.from_numpy(rng.permutation(len(x))).split(7):
                mine = batch[torch.from_numpy(learns)[batch]]
                adam.zero_grad()
                if len(mine):
                    nn.functional.cross_entropy(plain(x[mine]), truth[mine]).backward()
                    adam.step()
        with torch.no_grad():
            alone, grouped = plain(x), together(cut(data.pictures))[fold]
        assert torch.allclose(alone, grouped, atol=1e-4), fold


@given(st.integers(0, 1000))
def test_the_machine_is_scikit_learns_on_scaled_pictures(seed):
    from sklearn.svm import SVC

    data, asked = crowd(people=3, each=1, noise=2, seed=seed), crowd(people=2, each=1, noise=2, seed=seed + 1).pictures
    scale = np.sqrt((data.pictures.astype(float) ** 2).mean((0, 2, 3)))[:, None, None] * np.sqrt(3 * SIDE**2)
    plain = SVC(C=1, kernel="linear", class_weight="balanced").fit((data.pictures / scale).reshape(9, -1), data.labels)
    (said,) = LinearSvm().answers(data.pictures, data.labels, np.ones((1, 9), bool), asked, np.zeros(6, np.int64), 3)
    assert np.array_equal(said, plain.predict((asked / scale).reshape(6, -1)))
