"""Agreement of action units estimated from flow (megbench.faces.action_units).

It needs no weights and is only indicative on recordings.
"""

from megbench.core.clip import Cell
from megbench.core.figures import ACTION_UNITS
from megbench.faces.action_units import LIDS, NOISE_FLOOR, UNITS
from megbench.faces.features import SeenClip
from megbench.metrics.au_figures import figures_of
from megbench.metrics.au_scores import AuAgreement, Detector, Tracks


class AuFlow(AuAgreement):
    """Action units estimated from flow with the FACS basis: change from onset to apex, tracks over time and leakage."""

    name = "au_flow"
    version = "3"
    detector = Detector(
        title="AU (flow)",
        recipe="flow explained by the FACS basis; eyelids separate",
        units=UNITS,
        # On moving faces, the crosstalk between neighbouring units is about twice the camera noise.
        moves=2 * NOISE_FLOOR,
        onset_frames=1,
        one_scale=True,
        apart=LIDS,
        word="flow",
        caveat="Indicative on recordings, where the basis explains about half of the motion.",
    )
    figures = figures_of("au_flow", detector, ACTION_UNITS)

    def tracks(self, cell: Cell, clip: SeenClip) -> Tracks:
        """Return intensities (T, 15). Raise CellFailed if frame 0 shows no face."""
        return clip.action_units
