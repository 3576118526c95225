"""Agreement of OpenFace's action unit intensities (0 to 5), imported from its CSV files with `bench.py openface`."""

from collections.abc import Sequence
from pathlib import Path

from megbench.core.clip import Cell
from megbench.core.errors import Unavailable
from megbench.core.figures import OPENFACE
from megbench.core.installation import COMMAND
from megbench.faces import openface
from megbench.faces.features import Seen, SeenClip
from megbench.metrics.au_figures import figures_of
from megbench.metrics.au_scores import AuAgreement, Detector, Tracks


class OpenFaceIntensity(AuAgreement):
    """Intensities from 0 to 5 that OpenFace reported for outputs and drivers, relative to the onset."""

    name = "openface_intensity"
    version = "2-openface2-r"
    detector = Detector(
        title="AU intensity (OpenFace)",
        recipe="OpenFace 2, AU_r columns",
        units=openface.UNITS,
        # From frame to frame, values change by .05 to .10 on micro-expressions (measured on nine real drivers).
        moves=0.1,
        onset_frames=3,
        one_scale=True,
        word="OpenFace",
    )
    figures = figures_of("openface_intensity", detector, OPENFACE, brief="track")

    @staticmethod
    def missing() -> str:
        """Return how to import scores, or "" if any clip has scores."""
        return "" if openface.imported() else f"no OpenFace scores were imported: run {COMMAND} openface RUN CSVS"

    def sources(self, cell: Cell, output: str) -> Sequence[Path]:
        """Return the paths of the imported scores of the output, the driver and the truth."""
        contents = [output, cell.driver.content, *([cell.truth.content] if cell.truth else [])]
        return [openface.kept_path(content) for content in contents]

    def tracks(self, cell: Cell, clip: SeenClip) -> Tracks:
        """Return intensities (T, 17). Raise Unavailable if none were imported for this clip."""
        return _found(clip.role, clip.content, len(clip.frames))

    def driver_tracks(self, cell: Cell, seen: Seen) -> Tracks:
        """Return the values for the driver that methods receive.

        The reference, which has different noise, is not in the run's folder.
        """
        return _found("driver", cell.driver.content, cell.driver.n_frames)


def _found(role: str, content: str, n_frames: int) -> Tracks:
    scores = openface.kept(content, n_frames)
    if scores is None:
        raise Unavailable(
            f"no OpenFace scores of the {role}: run OpenFace on its frames, then {COMMAND} openface RUN CSVS"
        )
    return scores
