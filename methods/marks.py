"""Words of marks, and how one says that it concerns some of a row's cells only."""

# Rows whose action units are estimated from the flow by which outputs are scored.
FROM_FLOW = "units from flow"


def counted(word: str, concerned: int, scored: int) -> str:
    """Return the word of a mark, with the numbers of cells if it does not concern all: "GIF: 3 of 18"."""
    return word if concerned == scored else f"{word}: {concerned} of {scored}"
