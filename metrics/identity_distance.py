"""Identity: is the output still the person on the template?"""

from collections.abc import Sequence

import numpy as np
from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial, Score
from megbench.core.errors import CellFailed
from megbench.faces.embedding import embedding_at
from megbench.faces.features import Seen, sampled_frames
from megbench.metrics.combine import mean_scores


class IdentityDistance:
    """Distance between dlib's face embeddings of output and template, on at most 8 frames of a clip."""

    name = "identity_distance"
    version = "1-dlib-resnet-8frames"
    figures = (
        Figure(
            "identity_distance",
            "Identity distance",
            "",
            False,
            (0, None),
            "template",
            "Mean Euclidean distance of dlib's face embeddings (dlib-resnet, at most 8 frames) from the template's; by"
            " dlib's own rule less than 0.6 is the same person.",
        ),
        Figure(
            "identity_distance_worst",
            "Identity distance, worst frame",
            "",
            False,
            (0, None),
            "template",
            "Largest such distance among the frames looked at.",
        ),
    )
    needs = ("frames", "embedding")

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Compare one cell; frames without a face are left out. CellFailed without any face."""
        template = embedding_at(seen.template, [0])[0]
        if template is None:
            raise CellFailed("no frontal face found in template")
        indices = sampled_frames(len(seen.output.frames), cell.driver.apex_frame)
        found = [vector for vector in embedding_at(seen.output, indices) if vector is not None]
        if not found:
            raise CellFailed("no frontal face found in output")
        distances = np.linalg.norm(np.stack(found) - template, axis=1)
        return Partial(
            "ok",
            values={
                "identity_distance": float(distances.mean()),
                "identity_distance_worst": float(distances.max()),
            },
        )

    def combine(self, partials: Sequence[Partial]) -> list[Score]:
        """Means over the scored cells."""
        return mean_scores(self.figures, partials)
