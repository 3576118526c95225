"""Text in spreadsheets: a name from an untrusted source must not become a formula when the file is opened."""

# A cell that begins with one of these is a formula (or a command) to some spreadsheet program. The apostrophe itself is
# included so that `restored` is exact.
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def inert(text: str) -> str:
    """Return text for a CSV field, with an apostrophe before anything that a spreadsheet program might run."""
    return f"'{text}" if text.startswith(RISKY) else text


def restored(text: str) -> str:
    """Return the text that `inert` was given."""
    return text[1:] if text.startswith("'") else text


def printable(text: str) -> str:
    """Return text on one line, with control characters escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
