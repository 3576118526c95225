"""A second opinion on action units: MediaPipe's blendshape coefficients, of which only the time course is scored."""

from collections.abc import Sequence

import numpy as np

from megbench.core.clip import Cell
from megbench.core.errors import Unavailable
from megbench.core.figures import BLENDSHAPES
from megbench.core.weights import external_weights
from megbench.faces import blendshapes
from megbench.faces.features import SeenClip, sampled_frames
from megbench.metrics.au_figures import figures_of
from megbench.metrics.au_scores import AuAgreement, Detector, Tracks

# Maximum number of frames analysed per clip.
MOST = 16


class AuBlendshape(AuAgreement):
    """Time course of blendshapes: when (not how strongly) nine action units move, according to MediaPipe.

    AU06, AU09 and AU14 are not scored, because MediaPipe's coefficients for them do not follow the units.
    """

    name = "au_blendshape"
    version = "1-face_landmarker"
    detector = Detector(
        title="AU (blendshape course)",
        recipe=f"MediaPipe face landmarker, IMAGE mode, at most {MOST} frames per clip",
        units=blendshapes.UNITS,
        # Coefficients of a resting face change by about .013 from frame to frame (measured on a real clip), and each
        # also rises slightly when other units move. If these changes counted, the demo's truths would have an r of .53
        # instead of .69.
        moves=0.03,
        share=0.4,
        onset_frames=1,
        one_scale=False,
        course_only=True,
        word="blendshapes",
        caveat="Coefficients are not intensities and depend on the person, so sizes are not compared. A unit counts"
        " only if it changes by at least .03 and by at least two fifths of the strongest unit's change.",
    )
    figures = figures_of("au_blendshape", detector, BLENDSHAPES)
    weights = ("landmarker",)

    @staticmethod
    def missing() -> str:
        """Return how to install MediaPipe, or "" if it is installed."""
        return "" if blendshapes.installed() else f"MediaPipe is not installed: {blendshapes.INSTALL}"

    def frames(self, cell: Cell, n_frames: int) -> Sequence[int]:
        """Return at most 16 frame numbers, including the first frame and the driver's apex."""
        return sampled_frames(n_frames, cell.driver.apex_frame, MOST)

    def tracks(self, cell: Cell, clip: SeenClip) -> Tracks:
        """Return coefficients (T, 9), NaN in frames that `frames` does not select.

        Raise Unavailable if MediaPipe or its model is missing, and BenchError if MediaPipe's process ends.
        """
        if absent := self.missing():
            raise Unavailable(absent)
        model = external_weights.require(self.weights[0])
        chosen = list(self.frames(cell, len(clip.frames)))
        name = f"blendshapes-{'-'.join(map(str, chosen))}"
        looked = clip.kept(name, lambda: {"units": blendshapes.landmarker(model).units(clip.frames[chosen])}, [model])
        tracks = np.full((len(clip.frames), len(self.detector.units)), np.nan)
        tracks[chosen] = looked["units"]
        return tracks
