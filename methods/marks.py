"""Words of marks, and how a mark says that it concerns only some of a row's cells."""

# Rows whose action units are estimated from the same flow that scores outputs.
FROM_FLOW = "units from flow"


def counted(word: str, concerned: int, scored: int) -> str:
    """Return the word of a mark, with the numbers of cells if it does not concern all: "GIF: 3 of 18"."""
    return word if concerned == scored else f"{word}: {concerned} of {scored}"
