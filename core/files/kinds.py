"""Recognise a file's type by its first bytes, whatever its name. Messages state the type."""

from __future__ import annotations

import re

# Enough bytes for every signature below.
HEAD_BYTES = 4096
PICKLE, JPEG, WEB_PAGE = "a Python pickle", "a JPEG picture", "a web page"
UTF_32 = "text in UTF-32 instead of UTF-8"
MARKS = {
    b"\x89PNG\r\n\x1a\n": "a PNG picture",
    b"\xff\xd8\xff": JPEG,
    b"GIF87a": "a GIF picture",
    b"GIF89a": "a GIF picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"%PDF-": "a PDF document",
    b"{\\rtf": "a rich text document",
    b"PK\3\4": "a ZIP archive",
    b"PK\5\6": "an empty ZIP archive",
    b"\x1f\x8b\x08": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"\x1aE\xdf\xa3": "a Matroska or WebM video",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"MATLAB 5.0": "a MATLAB file",
    b"version https://git-lfs": "a Git LFS pointer instead of the file itself, which `git lfs pull` fetches",
    b"/annex/objects": "a git-annex pointer instead of the file itself, which `git annex get` fetches",
    b"../.git/annex/": "a git-annex pointer instead of the file itself, which `git annex get` fetches",
    b'{"': "a JSON file",
    b'[{"': "a JSON file",
    b"MIME-Version:": "a web archive",
    b"\xff\xfe\0\0": UTF_32,
    b"\0\0\xfe\xff": UTF_32,
}
# Two printable characters in UTF-32 without a byte-order mark. One would not do: a video may begin with such a byte and
# many zeros.
UTF_32_CHARACTERS = re.compile(rb"(?:[\t\r\n -~\xa0-\xff]\0{3}){2}|(?:\0{3}[\t\r\n -~\xa0-\xff]){2}")
# The groups are atomic, because a long series of comments would otherwise take exponential time.
PAGE = re.compile(
    rb"(?>(?>\s+|<!--.*?--\s*>|<\?xml[^>]*>)*)<(?:!doctype\s+html|html|head|body|script)\b", re.IGNORECASE | re.DOTALL
)


def kind_of(data: bytes) -> str:
    """Return a file's type, judging by its first bytes, such as "a PDF document"; "" if it is plain text or unknown."""
    head = data[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
    for mark, kind in MARKS.items():
        if head.startswith(mark):
            return kind
    if head[4:8] == b"ftyp":
        return "an MP4 or QuickTime video"
    if head.startswith(b"RIFF"):
        return {b"AVI ": "an AVI video", b"WEBP": "a WebP picture"}.get(head[8:12], "a RIFF file")
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "a BMP picture"
    if UTF_32_CHARACTERS.match(head):
        return UTF_32
    if head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5":
        return PICKLE
    return WEB_PAGE if PAGE.match(head) else ""
