#!/usr/bin/env bash
# More clips on which two experts agree completely can LOWER scikit-learn's weighted kappa. cohen_kappa_score(...,
# weights="quadratic") does not weight a disagreement by its distance on the scale, but by the distance between the
# positions of the two labels in the sorted list of those that occur. Levels that nobody used are closed up. Intensities
# of action units (0 to 5) are often 0 or 1 and rarely more: if nobody used 2 to 4, then 1 against 5 is a single step,
# like 0 against 1, and kappa is .92. Each new level on which both experts agree widens that step; with one clip each at
# 2, 3 and 4, kappa falls to .77. The same disagreement therefore costs more in one unit, data set or fold than in
# another, and their kappas cannot be compared. Levels in words (low, medium, high) are sorted by the alphabet, so that
# high comes next to low: a kappa of .80 becomes .47, without a warning.
# The remedy is labels=range(6), or the words in their order; but the documentation describes `labels` as a way to
# select a subset, and says of the weights only that they are linear or quadratic.
# Seen with scikit-learn 1.9.1 (sklearn/metrics/_classification.py, cohen_kappa_score: weights from matrix indices).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'PY'
import sys

import numpy as np
import sklearn
from sklearn.metrics import cohen_kappa_score

first = np.repeat([0, 1, 5], [20, 10, 6])
second = first.copy()
second[-3:] = 1  # the only disagreement: three clips are a 5 for one expert and a 1 for the other

print("scikit-learn", sklearn.__version__)
default, whole = [], []
for agreed in ([], [2], [2, 3], [2, 3, 4]):
    ratings = np.append(first, agreed).astype(int), np.append(second, agreed).astype(int)
    default.append(cohen_kappa_score(*ratings, weights="quadratic"))
    whole.append(cohen_kappa_score(*ratings, weights="quadratic", labels=range(6)))
    print(f"and {len(agreed)} clips rated alike {agreed!s:9}: kappa {default[-1]:.2f}, with labels=range(6) {whole[-1]:.2f}")

words = np.array(["low", "medium", "high"])
levels = np.repeat([0, 1, 2], 20)
other = levels.copy()
other[::4] = np.array([1, 2, 1])[levels[::4]]  # every fourth clip is off by one level
by_number = cohen_kappa_score(levels, other, weights="quadratic")
by_word = cohen_kappa_score(words[levels], words[other], weights="quadratic")
in_order = cohen_kappa_score(words[levels], words[other], weights="quadratic", labels=words)
print(f"levels as numbers {by_number:.2f}, as words {by_word:.2f}, as words with labels in order {in_order:.2f}")
falls = all(np.diff(default) < -0.01) and default[0] - default[-1] > 0.1 and all(np.diff(whole) > 0)
if not (falls and by_number - by_word > 0.1 and abs(in_order - by_number) < 1e-9):
    sys.exit("the behaviour has changed")
print("as described: agreement lowers kappa, and words are ranked by the alphabet")
PY
