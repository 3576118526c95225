"""Agreement of py-feat's action units. They are occurrence scores (how certain py-feat is), not intensities."""

from megbench.core.clip import Cell
from megbench.core.weights import external_weights
from megbench.faces.features import SeenClip
from megbench.faces.pyfeat import UNITS, detector
from megbench.metrics.au_figures import figures_of
from megbench.metrics.au_scores import AuAgreement, Detector, Tracks


class PyFeatOccurrence(AuAgreement):
    """Occurrence scores of py-feat's detector, compared by time course and direction, but not by size."""

    name = "pyfeat_occurrence"
    version = "2-face_multitask_v28"
    detector = Detector(
        title="AU occurrence (py-feat)",
        recipe="py-feat face_multitask_v28, occurrence scores 0..1, crop by dlib",
        units=UNITS,
        # Scores are not intensities, and their noise on micro-expressions is unknown; this is a twentieth of the range.
        moves=0.05,
        onset_frames=3,
        one_scale=False,
        word="py-feat",
    )
    figures = figures_of("pyfeat_occurrence", detector)
    weights = ("pyfeat",)

    def tracks(self, cell: Cell, clip: SeenClip) -> Tracks:
        """Return scores (T, 20). Raise CellFailed if frame 0 shows no face, and Unavailable if weights are missing."""
        path = external_weights.require("pyfeat")
        found = clip.kept("pyfeat", lambda: {"scores": detector(path).scores(clip.frames, clip.landmarks)}, [path])
        return found["scores"]
