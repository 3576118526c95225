"""Frechet and kernel distance on dlib's face embeddings: like FID and KID, but for faces and without a download."""

from pathlib import Path

import numpy as np

from megbench.core.clip import Cell
from megbench.faces.embedding import embedding_at
from megbench.faces.features import SeenClip, sampled_frames
from megbench.metrics.set_distance import SetDistance, distance_figures


class FaceDistance(SetDistance):
    """Distance between the outputs' and the drivers' faces (dlib's embeddings, at most 8 frames per clip)."""

    name = "face_distance"
    version = "1-dlib-resnet-8frames"
    # With 128 features, this many faces give a covariance of full rank.
    fewest = 256
    figures = distance_figures(
        "face_frechet", "face_kernel", "Faces", "dlib-resnet-128, at most 8 frames per clip", fewest
    )

    def features(self, clip: SeenClip, cell: Cell) -> Path:
        """Return the file with the embeddings (n, 128) of the frames that show a face."""
        indices = sampled_frames(len(clip.frames), cell.driver.apex_frame)
        name = "faces-" + "-".join(map(str, indices))

        def stack() -> dict[str, np.ndarray]:
            found = [vector for vector in embedding_at(clip, indices) if vector is not None]
            return {"features": np.array(found).reshape(-1, 128)}

        return clip.feature_file(name, stack)
