"""Mesh vertices that key points are trained to follow, and their partners under mirroring."""

from megbench.training.mirror import LANDMARK_PARTNERS, partners

# The fifty landmarks that TPS's key points are trained to follow: all except those of the jaw and one on the nose
# bridge. Each group of five (one spline) is spread over the face: brow, eye or nose, mouth. Their mesh vertices are
# given below.
# fmt: off
MANY_LANDMARKS = (
    17, 36, 46, 48, 58, 18, 37, 47, 49, 59,
    19, 38, 27, 50, 60, 20, 39, 29, 51, 61,
    21, 40, 30, 52, 62, 22, 41, 31, 53, 63,
    23, 42, 32, 54, 64, 24, 43, 33, 55, 65,
    25, 44, 34, 56, 66, 26, 45, 35, 57, 67,
)
MANY_VERTICES = (
    70, 33, 373, 61, 84, 63, 160, 380, 39, 181,
    105, 158, 168, 37, 78, 66, 133, 5, 0, 81,
    107, 153, 4, 267, 13, 336, 144, 98, 269, 311,
    296, 362, 97, 291, 308, 334, 385, 2, 405, 402,
    293, 387, 326, 314, 14, 300, 263, 327, 17, 178,
)
# fmt: on

# Partners of the ten mesh vertices that FOMM's key points follow in training (taught/rendered.py) and of TPS's fifty.
POINT_PARTNERS = {
    10: partners(10, [(0, 1), (2, 3), (5, 6)]),
    50: tuple(MANY_LANDMARKS.index(LANDMARK_PARTNERS[landmark]) for landmark in MANY_LANDMARKS),
}
