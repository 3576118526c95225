"""Identity: does the output still show the template's person?"""

import numpy as np

from megbench.core.clip import Cell
from megbench.core.contracts import Figure, Partial
from megbench.core.errors import CellFailed
from megbench.core.figures import PICTURE, Threshold
from megbench.faces.embedding import embedding_at
from megbench.faces.features import Seen, sampled_frames


class IdentityDistance:
    """Distance between dlib's face embeddings of output and template, in at most 8 frames of a clip."""

    name = "identity_distance"
    version = "1-dlib-resnet-8frames"
    figures = (
        Figure(
            "identity_distance",
            "Identity distance",
            target="template",
            ideal=0,
            still=0,
            bounds=(0, None),
            short="identity dist.",
            group=PICTURE,
            order=1,
            brief=True,
            formula="mean |e[t] - e(template)| over the frames analysed",
            source="dlib's face_recognition_resnet_model_v1",
            thresholds=(
                Threshold(0.6, "Another person by dlib's rule (distance {value}).", "bad"),
                Threshold(0.4, "The identity drifts (distance {value}).", "fair"),
            ),
            description="Mean Euclidean distance between dlib's face embeddings of output and template (dlib-resnet, at"
            " most 8 frames). By dlib's own rule, a distance below 0.6 means the same person.",
        ),
        Figure(
            "identity_distance_worst",
            "Identity distance, worst frame",
            target="template",
            ideal=0,
            still=0,
            bounds=(0, None),
            formula="max |e[t] - e(template)| over the frames analysed",
            description="Largest distance between the template's face embedding and that of any frame analysed.",
        ),
    )

    def measure(self, cell: Cell, seen: Seen) -> Partial:
        """Return the distances in one cell; frames without a face are left out. Raise CellFailed if no face is
        found."""
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
