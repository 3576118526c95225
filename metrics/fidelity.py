"""Fidelity on luma: every frame compared with the truth's, and frame 0 with the template.

A still face is perfect in the second comparison by definition and does well in the first, so these figures are only
safeguards alongside the motion figures.
"""

import cv2
import numpy as np

from megbench.core.clip import Cell, Float32s
from megbench.core.contracts import Figure, Partial
from megbench.core.errors import CellFailed
from megbench.core.figures import PICTURE
from megbench.faces.features import Seen
from megbench.faces.landmarks import Grey

# The PSNR assigned to equal pictures, whose true ratio is infinite and could not be averaged.
MOST_PSNR = 100.0
# SSIM's window in pixels, and the constants that keep its two ratios from being 0/0 (Wang et al. 2004: K1 = .01, K2 =
# .03).
WINDOW = 11
STABLE = (np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2))


def _figures(part: str, title: str, target: str, which: str, still: bool) -> tuple[Figure, ...]:
    """Return the SSIM, PSNR and L1 figures for the pictures that `which` describes.

    part: a template for the figures' names. still: whether a still face gets the ideal value.
    """
    return (
        Figure(
            part.format("ssim"),
            f"SSIM {title}",
            target=target,
            ideal=1,
            still=1 if still else None,
            bounds=(-1, 1),
            short="frame 0 SSIM" if still else "SSIM truth",
            decimals=3,
            group=PICTURE,
            order=5 if still else 6,
            source="Wang et al. 2004",
            description=f"Structural similarity (Wang et al. 2004, luma, Gaussian 1.5 px) of {which}.",
        ),
        Figure(
            part.format("psnr"),
            f"PSNR {title}",
            target=target,
            ideal=MOST_PSNR,
            still=MOST_PSNR if still else None,
            bounds=(0, MOST_PSNR),
            unit="dB",
            formula="10 log10(255^2 / mean (a - b)^2)",
            description=f"Peak signal-to-noise ratio (luma) of {which}; equal pictures count as {MOST_PSNR:.0f} dB.",
        ),
        Figure(
            part.format("l1"),
            f"L1 {title}",
            target=target,
            ideal=0,
            still=0 if still else None,
            bounds=(0, 255),
            unit="grey levels",
            formula="mean |a - b|",
            description=f"Mean absolute difference (luma) of {which}.",
        ),
    )


class Fidelity:
    """SSIM, PSNR and L1 of every frame against the truth, and of frame 0 against the template."""

    name = "fidelity"
    version = "3-luma"
    figures = (
        *_figures("{}_truth", "with truth", "truth", "output and truth, mean over frames", still=False),
        *_figures(
            "frame0_{}_template", "of frame 0", "template", "the output's first frame and the template", still=True
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the figures of one cell. Raise CellFailed if the output and the truth differ in length."""
        first, template = seen.output.grey[0], seen.template.grey[0]
        values = {
            "frame0_ssim_template": ssim(first, template),
            "frame0_psnr_template": psnr(first, template),
            "frame0_l1_template": l1(first, template),
        }
        if seen.truth is None:
            return Partial("ok", "no truth in this cell", values)
        output, truth = seen.output.grey, seen.truth.grey
        if len(output) != len(truth):
            raise CellFailed(f"output and truth differ in length: {len(output)} and {len(truth)} frames")
        pairs = list(zip(output, truth, strict=True))
        values |= {
            "ssim_truth": float(np.mean([ssim(a, b) for a, b in pairs])),
            "psnr_truth": float(np.mean([psnr(a, b) for a, b in pairs])),
            "l1_truth": float(np.mean([l1(a, b) for a, b in pairs])),
        }
        return Partial("ok", values=values)


def ssim(a: Grey, b: Grey) -> float:
    """Return the structural similarity of two grey pictures (H, W) uint8, as published (Gaussian weights, sigma 1.5).

    The window has 11 x 11 pixels. The 5 pixels along the border, where it would extend beyond the picture, do not
    count. The computation in float32 is accurate to 1e-6 and takes a fifth of scikit-image's time.
    """
    x, y = a.astype(np.float32), b.astype(np.float32)
    mean_x, mean_y = _windowed(x), _windowed(y)
    variances = (_windowed(x * x) - mean_x * mean_x) + (_windowed(y * y) - mean_y * mean_y)
    covariance = _windowed(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + STABLE[0]) / (mean_x * mean_x + mean_y * mean_y + STABLE[0])
    structure = (2 * covariance + STABLE[1]) / (variances + STABLE[1])
    inner = slice(WINDOW // 2, -(WINDOW // 2))
    return float((light * structure)[inner, inner].mean(dtype=np.float64))


def _windowed(picture: Float32s) -> Float32s:
    return np.asarray(cv2.GaussianBlur(picture, (WINDOW, WINDOW), 1.5), np.float32)


def psnr(a: Grey, b: Grey) -> float:
    """Return the peak signal-to-noise ratio of two grey pictures (H, W) uint8 in dB, at most 100.

    >>> black, white = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    >>> psnr(black, white), psnr(black, black)
    (0.0, 100.0)
    """
    mse = cv2.norm(a, b, cv2.NORM_L2SQR) / a.size
    return MOST_PSNR if mse == 0 else min(float(10 * np.log10(255**2 / mse)), MOST_PSNR)


def l1(a: Grey, b: Grey) -> float:
    """Return the mean absolute difference of two grey pictures (H, W) uint8, in grey levels.

    >>> l1(np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8))
    255.0
    """
    return cv2.norm(a, b, cv2.NORM_L1) / a.size
