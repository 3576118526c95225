"""Recognise files saved in place of weights, videos or pictures: web pages, Git LFS pointers, enclosing archives.

Download scripts save whatever a server returns. Only a file's first bytes and an archive's list of names are read.
"""

from __future__ import annotations

import html
import re
import tarfile
import zipfile
from pathlib import Path

from megbench.core.errors import BenchError, few, shown
from megbench.core.files.kinds import HEAD_BYTES, PICKLE, WEB_PAGE, kind_of

ITSELF = "Download the file itself, if necessary in a browser"
AGAIN = "Download it again"
ZIP, TAR, TAR_AT = b"PK\x03\x04", b"ustar", 257
MOST_MEMBERS = 3
# Bytes that do not occur in text.
BINARY = bytes(set(range(32)) - {9, 10, 12, 13})


def check_weights(path: Path) -> None:
    """Raise BenchError, with the remedy, if a file is recognisably not weights."""
    what = why_not_weights(path)
    if what:
        raise BenchError(f"{path} cannot be read safely as weights: it is {what}.")


def why_not_weights(path: Path) -> str:
    """Return what a file is, with the remedy, such as "an empty file. Download ..."; "" if it may be weights."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return f"an empty file. {AGAIN}"
    if not head.strip(b"\0"):
        return f"filled with zeros, like an unfinished download. {AGAIN}"
    if head.startswith(ZIP):
        return _zip(path)
    if head[TAR_AT:].startswith(TAR):
        return f"a tar archive{_members(_tar_names(path))}. Unpack it and pass the checkpoint inside"
    if text := _text(head):
        return text
    kind = kind_of(head)
    if kind.endswith("archive"):
        return f"{kind}. Unpack it and pass the checkpoint inside"
    return "" if kind in ("", PICKLE) else f"{kind}. {ITSELF}"


def mistaken_download(path: Path) -> str:
    """Return what was saved in place of a file, with the remedy: a web page or a Git LFS pointer. "" otherwise."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return ""
    return _placeholder(_decoded(head).lstrip())


def _zip(path: Path) -> str:
    """Return what a zip file is, or "" if torch.save may have written it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return f"truncated or damaged (it has {path.stat().st_size} bytes). {AGAIN}"
    inside = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in inside:
        return "a TorchScript program, not weights alone. Save the networks' state_dict() instead"
    if "data.pkl" in inside:
        return ""
    return f"a zip archive{_members(names)}. Unpack it and pass the checkpoint inside"


def _tar_names(path: Path) -> list[str]:
    try:
        with tarfile.open(path, "r:") as archive:
            return [member.name for member, _ in zip(archive, range(100), strict=False)]
    except (tarfile.TarError, OSError, ValueError):
        return []


def _members(names: list[str]) -> str:
    """Return the first names in an archive, in brackets."""
    files = [name for name in names if not name.endswith("/")]
    if not files:
        return ""
    return f" (with {few(files, MOST_MEMBERS)})"


def _text(head: bytes) -> str:
    """Return what a text file is, or "" for a binary file."""
    text = _decoded(head).lstrip()
    if not text:
        return ""
    if placeholder := _placeholder(text):
        return placeholder
    if text.startswith("<"):
        return (
            f"an XML or HTML reply{_quoted(r'<(?:Message|Code|title)>(.*?)<', text)}, not the requested file. {ITSELF}"
        )
    if re.match(r"[{\[]\s*[\"{\[\]}]", text):
        message = r'"(?:message|error|detail)"\s*:\s*"([^"]*)"'
        return f"JSON{_quoted(message, text)}, such as a server error or a card, not weights. {ITSELF}"
    return f"a text file that begins with {shown(text.splitlines()[0])}. {ITSELF}"


def _placeholder(text: str) -> str:
    """Return what `text` is if it stands in for another file (a Git LFS pointer or a web page); "" otherwise."""
    if text.startswith("version https://git-lfs"):
        size = re.search(r"^size (\d{1,15})\s*$", text, re.MULTILINE)
        of = f" of {size[1]} bytes" if size else ""
        return f"a Git LFS pointer to a file{of}, not the file itself. Run `git lfs pull` in its repository"
    if kind_of(text.encode()) == WEB_PAGE:
        return f"{WEB_PAGE}{_quoted(r'<title[^>]*>(.*?)</title>', text)}, not the file behind it. {ITSELF}"
    return ""


def _decoded(head: bytes) -> str:
    """Return bytes decoded as UTF-8, or as UTF-16 with a byte-order mark; "" for anything else."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) // 2 * 2].decode("utf-16", errors="ignore")
    if head.translate(None, BINARY) != head:
        return ""
    # The head may end in the middle of a character.
    for end in range(len(head), max(len(head) - 4, 0), -1):
        try:
            return head[:end].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
    return ""


def _quoted(pattern: str, text: str) -> str:
    """Return the pattern's first group in the text, such as a page's title, in brackets; "" if there is no match."""
    found = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
    words = " ".join(html.unescape(found[1]).split()) if found else ""
    return f" ({shown(words)})" if words else ""
