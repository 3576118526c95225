"""Bounds on the entries of golden files: FACTOR times the error of float32 in our own networks.

`python -m tests.golden.measure` runs every golden file's computation in float32 and in float64, for SEEDS seeds of
weights and inputs, and writes the largest difference of each stage to a file for the kind of processor it runs on
(tests/golden/processors/*.json). The bound of an entry is FACTOR times the largest difference in any of these files for
its stage. Therefore no bound is set by hand, and a processor that rounds differently gets its own file.

Differences are measured beforehand rather than during every comparison, because a training step in float64 takes two to
three times as long as the comparison itself, and the difference with one set of weights and pictures may be small by
chance. Other sets of golden files have other inputs but the same stages. FACTOR is the value that the specification
recommends for the official float32-to-float64 difference. It is the product of 2, because the expected entry and ours
round independently, and 2.5, for what eight seeds do not show (in the median, the largest difference of a stage is 1.1
times the second largest).

A stage is an entry without its mode, epoch or variant (`standard/` and `relative/`, `ac0_` and `ac1_`). Such entries go
through the same layers, and it is a matter of chance which of them comes close to float64. Every seed measures every
stage; if a stage has two variants, half of the seeds measure one and half the other.

The difference of an entry is the largest over its values. That of a gradient is the upper quartile, relative to the
gradient's largest value, because a gradient is not continuous: if a ReLU is about to open, or a sample is on a pixel's
border, rounding decides between two values. Splines amplify such a jump: their five points are close together, so that
a change of one sample at a picture's border changes one point's gradient by forty times as much. With one of the eight
seeds, a single sample accounts for two fifths of the largest gradient of a key point in 64 x 64 pixels (0.42; 0.016
with the second worst seed), and a bound above that would detect nothing. Yet this sample moves only one spline's points
in one direction, which affects a few entries of the tensor and changes the quartile by no more than 0.015. A mistake (a
sign, a weight, a detached term) changes all entries. The same holds for parameters after a step of Adam, because its
first step depends only on the sign of the gradient. The measured differences of a second step's losses include the
effect of such signs, because float64 takes its own step.

An entry that happens to be exact in float32 is assigned the spacing of float32 numbers at its largest value. Entries in
float64 are assigned the same differences times 2^-29, the ratio of the two spacings.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROCESSORS = HERE / "processors"
FACTOR, SEEDS = 5.0, 8
MOST = 0.75  # the share of a gradient's entries, and of the parameters it updates, that must be within the bound
FLOAT64_SPACING = 2.0**-29  # the spacing of float64 numbers as a share of that of float32 numbers

# A large entry of the second family is stored as values at some indices, modulo its size, and as statistics.
PICKED_SUFFIX, STATISTICS_SUFFIX = "@s", "@stat"

# The kind of an entry: the first one with a pattern that matches its name, else "absolute".
KINDS = {
    "input": (
        # pictures, random transforms and their probe points, given points and regions, random draws
        r"source|driving|driving_video|batch_source|batch_driving|.*_u8|tps_(theta|control_params|probe_points)"
        r"|landmarks68|kp_default|keypoint_\w+|keypoint|avd_(id|posegt)_(shift|affine)|avd_rand"
        r"|rows|(f64/)?table|f64/noise_.*|.*/(tps_dropout_rand|equivariance_(theta_noise|control_params))"
        r"|aus|(src|tar)_aus|.*/gp_alpha|ganloss/map|tv/in|f64/[abc]/table|f64/curve/.*|quant/(float|uint8_full)"
    ),
    "ignored": (
        # gradients that consist only of rounding errors: softmax-invariant, or before a batch or instance norm
        r"train(adv)?_ac[01]_grad_(kp_detector\.kp|region_predictor\.regions|generator\.first\.conv)\.bias"
        r"|.*(grad|after_step)/inpainting_network\.resblock\.\d\.conv\d\.bias"
    ),
    "relative": r".*gradnorm[/_].*|train(adv)?_ac[01]_(step2_)?loss_\w+|avd_train_step[12]_\w+",
    "gradient": r".*_grad_.*|(.*/)?grad/.*",
    "step": r".*after_step/.*",
}
# Parts of an entry's name that are not part of its stage: mode, epoch, variant, `align_corners`, picture number.
VARIANT = (
    r"^(standard|bg|relative|small2?|moved|epoch\d+|default|masked)/((au\d?|plain)/)?(dense/)?"
    r"|^anim_[a-z]+\d_(?=ac)|(?<=anim_)[a-z]+\d_|(?<![a-z])ac[01]_|(?<=train)adv|^[kr][sd]_"
)
# The groups of entries that are computed together; the group "" is needed by every variant.
TURN = (
    r"^((anim_(?P<mode>[a-z]+\d)_)?(?P<ac>(train(adv)?_)?ac[01])_"
    r"|(?P<part>epoch\d+|default|masked|standard|bg|relative|avd|(small2?|moved|pixel)/\w+)/)"
)


@dataclass(frozen=True)
class Bound:
    """How far an entry may deviate.

    kind: "absolute", "relative" (to the expected value), "gradient" (three quarters of the values, relative to the
    largest expected one), "step" (three quarters of the values, absolute), "input" (read, not computed) or "ignored".
    """

    kind: str
    bound: float = 0.0


class UnboundEntryError(ValueError):
    """Raised for an entry whose stage is not in any processor's file."""


def plain(name: str) -> str:
    """Return an entry's name without the suffix that states how it is stored."""
    return name.removesuffix(PICKED_SUFFIX).removesuffix(STATISTICS_SUFFIX)


def kind_of(entry: str, stem: str) -> str:
    """Return the kind of an entry of a golden file."""
    if plain(entry) == "AU_diff":  # one file computes what the others take as input
        return "absolute" if stem.endswith("_au") else "input"
    return next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, plain(entry))), "absolute")


def stage_of(entry: str) -> str:
    """Return the stage of an entry, which it shares with its variants."""
    return re.sub(VARIANT, "", plain(entry))


def turn_of(entry: str) -> str:
    """Return the group of entries with which an entry is computed."""
    found = re.match(TURN, entry)
    return (found["part"] or found["ac"] + (found["mode"] or "")) if found else ""


class Bounds:
    """The bounds from the processors' files."""

    def __init__(self, folder: Path = PROCESSORS) -> None:
        self.largest: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for path in sorted(folder.glob("*.json")):
            content = json.loads(path.read_text())
            for stem in (stem for stem, seeds in content["seeds"].items() if seeds >= SEEDS):
                for stage, largest in content["differences"][stem].items():
                    self.largest[stem][stage] = max(self.largest[stem][stage], largest)

    def of(self, entry: str, stem: str) -> Bound:
        """Return the bound of an entry of a golden file. Raise UnboundEntryError if its stage was never measured."""
        kind = kind_of(entry, stem)
        if kind in ("input", "ignored"):
            return Bound(kind)
        stage = stage_of(entry)
        if stage not in self.largest[stem]:
            raise UnboundEntryError(
                f"stage {stage!r} of {stem} was never measured; python -m tests.golden.measure FILE measures a file"
            )
        return Bound(kind, FACTOR * self.largest[stem][stage])
