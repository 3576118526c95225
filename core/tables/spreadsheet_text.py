"""Text in spreadsheets: a name from an untrusted source must not become a formula when the file is opened."""

# A spreadsheet program may take a cell that begins with one of these for a formula or a command. The apostrophe is
# included so that `restored` is exact.
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def inert(text: str) -> str:
    """Return text as it goes into a CSV field: with an apostrophe before anything that a program might run."""
    return f"'{text}" if text.startswith(RISKY) else text


def restored(text: str) -> str:
    """Return the text that was passed to `inert`."""
    return text[1:] if text.startswith("'") else text


def printable(text: str) -> str:
    """Return text on one line, with control characters escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
