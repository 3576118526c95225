"""A head turned out of the picture's plane, seen from far away."""

import numpy as np

from megbench.faces.mesh import Points, canonical, depth

# The axes go through the point between the ears, this far behind and below the point between the eyes; eye distances.
BEHIND, BELOW = 1.3, 0.3
# Further behind the eyes than BEND, where cheeks bend away, depth counts by SLOPE only: pictures of faces would fold.
BEND, SLOPE = 0.25, 0.5


def turned_by(yaw: float, pitch: float) -> Points:
    """Displacement (478, 2), face units, of the mean face by yaw (to the person's left) and then pitch (down), radians.

    Positive yaw takes the nose to larger x, positive pitch to larger y. A far camera: depth moves nothing closer.
    """
    x, y, z = canonical()[:, 0], canonical()[:, 1] - BELOW, depth()
    z = np.where(z < -BEND, -BEND + SLOPE * (z + BEND), z) + BEHIND
    across = np.cos(yaw) * x + np.sin(yaw) * z
    nearer = np.cos(yaw) * z - np.sin(yaw) * x
    down = np.cos(pitch) * y + np.sin(pitch) * nearer
    return np.stack([across - x, down - y], -1)
