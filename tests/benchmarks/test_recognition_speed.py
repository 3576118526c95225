"""Time recognisers at MEGC2019's size, with 442 clips and 68 people left out in turn: `make bench`.

The support vector machine's complete leave-one-out run is timed. STSTNet's folds trained together are compared with the
published table's plain layers trained fold after fold, in interleaved epochs of the same process. All epochs cost the
same, so 500 take 500 times as long as one.
"""

import resource
import time

import numpy as np
import torch
from torch import nn

from megbench.recognition.ststnet import SIDE, StstNet
from megbench.recognition.svm import LinearSvm
from tests.test_recognisers import Plain

CLIPS, PEOPLE, EPOCHS = 442, 68, 500
ROUNDS, FOLDS_TIMED = 3, 4
SVM_S, NET_S, MEMORY_GB = 20, 20 * 60, 2.0


def composite():
    """Return pictures, labels, people and each fold's training mask, in MEGC2019's numbers."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [250, 109, 83])
    people = np.r_[np.arange(PEOPLE), rng.integers(0, PEOPLE, CLIPS - PEOPLE)]
    pattern = rng.normal(0, 0.003, (3, 3, SIDE, SIDE))
    pictures = (pattern[labels] + rng.normal(0, 0.01, (CLIPS, 3, SIDE, SIDE))).astype(np.float32)
    return pictures, labels, people, np.arange(PEOPLE)[:, None] != people


def plain_epoch(net, adam, pictures, labels, batch):
    for chosen in torch.randperm(len(pictures)).split(batch):
        adam.zero_grad()
        nn.functional.cross_entropy(net(pictures[chosen]), labels[chosen]).backward()
        adam.step()


def test_folds_of_the_composite_database():
    pictures, labels, people, training = composite()
    began, used = time.perf_counter(), time.process_time()
    LinearSvm().answers(pictures, labels, training, pictures, people, 3)
    svm = time.perf_counter() - began
    print(f"\nSVM, all {PEOPLE} folds: {svm:.1f} s ({time.process_time() - used:.1f} processor seconds)")

    recogniser = StstNet(seeds=(0,))
    together = recogniser.epochs_of(pictures, labels, training, 3, 0)
    next(together)
    plain, truth = Plain(), torch.from_numpy(labels)
    adam = torch.optim.Adam(plain.parameters(), lr=recogniser.lr)
    seen = [torch.from_numpy(np.flatnonzero(row)) for row in training[:FOLDS_TIMED]]
    x = torch.from_numpy(pictures / 0.01)
    wall, cpu = np.zeros((2, ROUNDS)), np.zeros((2, ROUNDS))
    for turn in range(ROUNDS):
        began, used = time.perf_counter(), time.process_time()
        next(together)
        wall[0, turn], cpu[0, turn] = time.perf_counter() - began, time.process_time() - used
        began, used = time.perf_counter(), time.process_time()
        for mine in seen:
            plain_epoch(plain, adam, x[mine], truth[mine], recogniser.batch)
        share = PEOPLE / FOLDS_TIMED
        wall[1, turn] = share * (time.perf_counter() - began)
        cpu[1, turn] = share * (time.process_time() - used)
    ours, theirs = np.median(wall, 1) * EPOCHS
    ratio = np.median(cpu[1] / cpu[0])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"STSTNet, {PEOPLE} folds, {EPOCHS} epochs, one seed, {torch.get_num_threads()} threads: together"
        f" {ours / 60:.1f} min, fold after fold {theirs / 60:.1f} min; processor seconds an epoch"
        f" {np.median(cpu[0]):.2f} and {np.median(cpu[1]):.2f}, ratio {ratio:.1f} (of {ROUNDS} rounds:"
        f" {', '.join(f'{one:.1f}' for one in cpu[1] / cpu[0])}); memory {memory:.2f} GB"
    )
    assert svm < SVM_S
    assert ours < NET_S
    assert memory < MEMORY_GB
