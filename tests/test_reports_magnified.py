"""The magnified view enlarges motion, leaves noise unchanged, and does not fold the picture."""

import cv2
import numpy as np
import pytest

from megbench.core.frames import frame_path, write_png
from megbench.reports.html import write_report
from tests.browser import opened, pixels
from tests.report_fixture import FRAMES, make_run


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Write a report in which the measured motion of flow_warp's first cell is noise."""
    folder = make_run(tmp_path_factory.mktemp("run"))
    noise = np.random.default_rng(0).choice([-0.06, 0.06], (FRAMES, 32, 32, 2)).astype(np.float16)
    np.savez(folder / "motion" / "cells" / "flow_warp" / "d1__ta.npz", field=noise)
    return write_report(folder, cache=folder / "media")


@pytest.fixture(scope="module")
def page(browser, report):
    page, complaints = opened(browser, report)
    yield page
    page.close()
    assert complaints == []


def test_magnified_motion_is_what_moved_moved_further(page):
    """The middle of the fixture's field moves 0.2 pixels per frame, so 1.2 by frame 6, and 8.4 more at factor 8."""
    page.locator("#magnification").select_option("8")
    page.locator("#frame").fill("6")
    picture, magnified = (pixels(page, view, 3) for view in ("picture", "magnified"))
    assert (magnified[:, :40] == picture[:, :40]).all(), "nothing moves there"
    moved = cv2.warpAffine(picture.astype(np.float32), np.float32([[1, 0, 8.4], [0, 1, 0]]), (256, 256))
    middle = np.s_[96:160, 96:160]
    assert np.abs(magnified - moved)[middle].mean() < 2
    assert np.abs(picture - moved)[middle].mean() > 8


def test_noise_of_the_measured_motion_is_not_magnified(page):
    page.locator("#magnification").select_option("16")
    page.locator("#frame").fill("5")
    assert (pixels(page, "magnified", 5) == pixels(page, "picture", 5)).all()


def test_motion_that_would_fold_the_picture_when_magnified_is_smoothed(browser, tmp_path):
    """A ramp from dark to bright, whose middle moves by 10 pixels and by 160 when magnified, must stay a ramp.

    A clip without a measured motion must say so.
    """
    folder = make_run(tmp_path / "run", 2, drivers=1)
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (2, 256, 256, 3))
    cell = folder / "cells" / "fpfomm" / "d1__ta" / "frames"
    for index, frame in enumerate(ramp):
        write_png(frame_path(cell, index), np.ascontiguousarray(frame))
    field = np.zeros((2, 32, 32, 2), np.float16)
    field[1, 8:24, 8:24, 0] = 10
    np.savez(folder / "motion" / "cells" / "fpfomm" / "d1__ta.npz", field=field)
    (folder / "motion" / "cells" / "flow_warp" / "d1__ta.npz").unlink()
    page, complaints = opened(browser, write_report(folder, cache=tmp_path / "media"))
    page.locator("#magnification").select_option("16")
    page.locator("#frame").fill("1")
    magnified, picture = (pixels(page, view, 3).mean(-1)[64:192] for view in ("magnified", "picture"))
    told = pixels(page, "magnified", 5) != pixels(page, "picture", 5)
    page.close()
    assert complaints == []
    assert told[:40].any(), "that its motion was not measured"
    assert not told[40:].any()
    assert np.abs(magnified - picture).max() > 20
    assert np.diff(magnified, axis=1).min() > -3
