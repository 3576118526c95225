"""Left and right partners under a mirror: entry i of a mirrored array is entry PARTNERS[i] of the original."""


def _partners(count: int, pairs: list[tuple[int, int]]) -> tuple[int, ...]:
    order = list(range(count))
    for left, right in pairs:
        order[left], order[right] = right, left
    return tuple(order)


# iBUG's 68 landmarks: jaw, brows, nostrils, eyes (upper and lower lids), outer lips, inner lips.
LANDMARK_PARTNERS = _partners(
    68,
    [(i, 16 - i) for i in range(8)]
    + [(17 + i, 26 - i) for i in range(5)]
    + [(31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    + [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)],
)

# The fifty landmarks that TPS's key points are taught to follow, all but jaw and one of the nose's bridge: every five
# (one spline's) are spread over the face, brow, eye or nose, mouth. And the mesh vertices under them.
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

# Of the ten mesh vertices that FOMM's key points are taught to follow (training/rendered.py), and of the fifty.
POINT_PARTNERS = {
    10: _partners(10, [(0, 1), (2, 3), (5, 6)]),
    50: tuple(MANY_LANDMARKS.index(LANDMARK_PARTNERS[landmark]) for landmark in MANY_LANDMARKS),
}
