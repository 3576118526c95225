"""Helpers for testing the report in Chromium: find the browser, open a page and read a canvas."""

import shutil

import numpy as np

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)


def opened(browser, report, width=1400, height=900):
    """Open a report; return the page and a list of its console messages, errors, dialogs and network requests."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(60_000)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
    page.goto(report.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page, complaints


def pixels(page, canvas, player):
    """Return the RGB values of a canvas in the opened cell, scaled to (256, 256, 3)."""
    # The values are sent as text, because a list of numbers takes seconds to transfer, and are offset by 256 to avoid
    # special characters.
    letters = page.evaluate(
        """([canvas, player]) => {
            const found = document.querySelectorAll(`.cell.shown .player .${canvas}`)[player];
            const copy = new OffscreenCanvas(256, 256).getContext("2d", {willReadFrequently: true});
            copy.drawImage(found, 0, 0, 256, 256);
            let text = "";
            for (const value of copy.getImageData(0, 0, 256, 256).data) text += String.fromCharCode(256 + value);
            return text;
        }""",
        [canvas, player],
    )
    return np.frombuffer(letters.encode("utf-16-le"), "<u2").reshape(256, 256, 4)[..., :3].astype(int) - 256
