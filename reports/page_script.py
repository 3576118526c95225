"""Style, data and script of a page that opens from disk, all inside the page; its policy lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup


def json_inside(value: Any) -> Markup:
    """Return JSON that is safe inside a script element: nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def joined(files: Sequence[Path]) -> Markup:
    """Return the contents of the suite's own style or script files, one after another."""
    return Markup("\n").join(Markup(file.read_text(encoding="utf-8")) for file in files)


def script_of(files: Sequence[Path]) -> Markup:
    """Return a page's script, enclosed in a block."""
    return Markup('"use strict";\n{{\n{}\n}}').format(joined(files))


def policy(script: str, beside: bool = False, pictures: bool = True) -> str:
    """Return a page's Content-Security-Policy, which allows styles and, by its hash, the page's own script.

    beside: also allow scripts in files beside the page. Clips are stored as such scripts, because a page on disk may
    read nothing else there. pictures: also allow pictures that the script makes.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"'sha256-{digest}'" + (" 'self' file:" if beside else "")
    images = " img-src data: blob:;" if pictures else ""
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline';{images} base-uri 'none';"
        " form-action 'none'"
    )
