"""Left and right partners under mirroring: entry i of a mirrored array is entry PARTNERS[i] of the original."""


def partners(count: int, pairs: list[tuple[int, int]]) -> tuple[int, ...]:
    """Return the partner of each of `count` entries; entries that are in no pair are their own partners."""
    order = list(range(count))
    for left, right in pairs:
        order[left], order[right] = right, left
    return tuple(order)


# iBUG's 68 landmarks: jaw, brows, nostrils, eyes (upper and lower lids), outer lips, inner lips.
LANDMARK_PARTNERS = partners(
    68,
    [(i, 16 - i) for i in range(8)]
    + [(17 + i, 26 - i) for i in range(5)]
    + [(31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    + [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)],
)
