#!/usr/bin/env bash
# In statsmodels, aggregate_raters turns a table of ratings (clips, experts) into the counts that fleiss_kappa needs. It
# counts NaN as an answer of its own. An expert who skipped a clip thus disagrees with all who rated it, and two experts
# who skipped the same clip AGREE. There is no exception and no warning; only the list of categories, which is easily
# ignored, ends in nan. Kappa may become too low or too high:
# - Experts who agree on everything that they rated, but each skipped a quarter of the clips, get .44 instead of 1.
# - Experts who guess, but all skipped the same half of the clips (too dark, no face), get .52 instead of 0.
# The docstring says that data which cannot be converted to integers raise an exception. That holds only if n_cat is
# given. fleiss_kappa checks that all clips have equally many ratings (issue 7781), and with NaN as an answer they do.
# Krippendorff's alpha is made for missing ratings, and gives 1 and 0.
# Seen with statsmodels 0.15.0 (statsmodels/stats/inter_rater.py: np.unique of all values), krippendorff 0.9.0.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    statsmodels==0.15.0 krippendorff==0.9.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
venv/bin/python - <<'PY'
import sys
import warnings

import krippendorff
import numpy as np
import statsmodels
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

warnings.simplefilter("error")
CLIPS, EXPERTS, ANSWERS = 60, 4, 3  # negative, positive, surprise
random = np.random.default_rng(0)
agreed = np.repeat(random.integers(0, ANSWERS, (CLIPS, 1)), EXPERTS, axis=1).astype(float)
guessed = random.integers(0, ANSWERS, (CLIPS, EXPERTS)).astype(float)
some_skipped, same_skipped = agreed.copy(), guessed.copy()
some_skipped[random.random(agreed.shape) < 0.25] = np.nan
same_skipped[: CLIPS // 2] = np.nan

print("statsmodels", statsmodels.__version__)
found = {}
tables = {"all agree": agreed, "all agree, 1/4 skipped": some_skipped, "all guess": guessed}
tables["all guess, same 1/2 skipped"] = same_skipped
for name, ratings in tables.items():
    counts, categories = aggregate_raters(ratings)
    alpha = krippendorff.alpha(reliability_data=ratings.T, level_of_measurement="nominal")
    found[name] = fleiss_kappa(counts), alpha
    print(f"{name:28} Fleiss' kappa {found[name][0]:+.2f}, Krippendorff's alpha {alpha:+.2f}, categories {categories}")
try:
    aggregate_raters(some_skipped, n_cat=ANSWERS)
    raised = False
except TypeError:
    raised = True
print("with n_cat, NaN is refused:", raised)
kappas, alphas = zip(*found.values())
if not (kappas[0] > 0.99 and kappas[1] < 0.7 and abs(kappas[2]) < 0.1 and kappas[3] > 0.3 and raised):
    sys.exit("the behaviour has changed")
if not (min(alphas[:2]) > 0.99 and max(np.abs(alphas[2:])) < 0.15):
    sys.exit("Krippendorff's alpha has changed")
print("as described: a missing rating counts as an answer on which experts agree or disagree")
PY
