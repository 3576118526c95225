"""Text in spreadsheets: a cell that a stranger named must not become a formula when somebody opens the file."""

# A cell that begins with one of these is a formula (or a command) to some spreadsheet. The apostrophe itself is among
# them so that `restored` is exact.
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def inert(text: str) -> str:
    """Text for a CSV field: an apostrophe goes before whatever a spreadsheet might run."""
    return f"'{text}" if text.startswith(RISKY) else text


def restored(text: str) -> str:
    """What `inert` was given."""
    return text[1:] if text.startswith("'") else text


def printable(text: str) -> str:
    """Text on one line: control characters are shown escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
