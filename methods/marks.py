"""The words of marks that concern some of a row's cells."""


def counted(word: str, concerned: int, scored: int) -> str:
    """Return the word of a mark, with the numbers of cells if it does not concern all: "GIF: 3 of 18"."""
    return word if concerned == scored else f"{word}: {concerned} of {scored}"
