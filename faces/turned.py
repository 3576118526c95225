"""A head turned out of the image plane, seen by a distant camera."""

import numpy as np

from megbench.faces.mesh import Points, canonical, depth

# The axes go through the point between the ears, which is this far behind and below the point between the eyes, in eye
# distances.
BEHIND, BELOW = 1.3, 0.3
# Farther than BEND behind the eyes, where cheeks curve away, depth is scaled by SLOPE, because pictures would otherwise
# fold.
BEND, SLOPE = 0.25, 0.5


def turned_by(yaw: float, pitch: float) -> Points:
    """Return the mean face's displacement (478, 2), in face units, by yaw (to the person's left), then pitch (down).

    Both are in radians. Positive yaw moves the nose to larger x, and positive pitch to larger y. The camera is assumed
    to be distant, so that depth does not affect apparent size.
    """
    x, y, z = canonical()[:, 0], canonical()[:, 1] - BELOW, depth()
    z = np.where(z < -BEND, -BEND + SLOPE * (z + BEND), z) + BEHIND
    across = np.cos(yaw) * x + np.sin(yaw) * z
    nearer = np.cos(yaw) * z - np.sin(yaw) * x
    down = np.cos(pitch) * y + np.sin(pitch) * nearer
    return np.stack([across - x, down - y], -1)
