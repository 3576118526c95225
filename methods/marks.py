"""The wording of marks, and the form of a mark that concerns only some of a row's cells."""

# The mark of rows whose action units are estimated from the same optical flow that is used to score outputs.
FROM_FLOW = "units from flow"


def counted(word: str, concerned: int, scored: int) -> str:
    """Return a mark's word, with the number of cells if the mark does not apply to all of them: "GIF: 3 of 18"."""
    return word if concerned == scored else f"{word}: {concerned} of {scored}"
