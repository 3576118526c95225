"""Selfcheck's verdicts on figures with known properties, and the degradations that it uses."""

import numpy as np
import pytest

from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.degraded import SERIES, Answer, variants
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.performance import Performance, Track
from megbench.clips.synthetic.rendered_clips import Scene
from megbench.commands.selfcheck import FOLLOWED, FOLLOWS, check_laws, chosen_cells, course_laws
from megbench.metrics.sensitivity import worth
from megbench.protocols.demo import SHEET


def values(of) -> dict:
    """Return a figure's values, of(series, level), on all variants. Level 1 of `scale` is the undegraded answer."""
    return {(name, level): float(of(name, level)) for name, level in variants()}


def test_the_unharmed_answer_is_made_once():
    made = variants()
    assert len(made) == len(set(made))
    assert made.count(("scale", 1.0)) == 1
    assert not any((name, 0) in made for name in SERIES if name != "scale")


def test_a_gain_like_figure_sees_amplitude_and_nothing_else():
    judged = worth("gain", values(lambda name, level: level if name == "scale" else 0.0 if name == "still" else 1.0))
    assert judged.sensitive == ("amplitude", "excessive amplitude", "stillness")
    assert {"delay", "blur", "camera noise", "another person"} <= set(judged.blind)
    assert judged.correlations["scale"] == pytest.approx(1)
    assert judged.correlations["delay"] is None
    assert judged.floor == 0
    assert judged.saturation is None


def test_a_cosine_like_figure_is_blind_to_amplitude_and_saturates():
    falls = {"delay": 0.05, "jitter": 0.1}
    judged = worth(
        "agreement",
        values(lambda name, level: float(level > 0) if name == "scale" else 1 - falls.get(name, 0) * level),
    )
    assert judged.saturation == 0.25
    assert judged.correlations["delay"] == pytest.approx(-1)
    assert "delay" in judged.sensitive
    assert {"amplitude", "excessive amplitude"} <= set(judged.blind)
    assert "saturates from scale 0.25" in judged.line()


def test_a_change_within_the_noise_is_not_seen():
    judged = worth("noisy", values(lambda name, level: 0.1 if name == "noise" else 0.05 if name == "delay" else 0.0))
    assert judged.floor == pytest.approx(0.1)
    assert "delay" in judged.blind


def test_a_small_steady_change_is_weak_neither_seen_nor_unseen():
    judged = worth("weak", values(lambda name, level: level if name == "scale" else 1 - 0.01 * level))
    assert "delay" in judged.sensitive  # 0.08 of a span of 1.5
    assert "unsteady timing" in judged.weak  # 0.04
    assert "blur" in judged.blind


@pytest.mark.parametrize("strong", [0.03, 0.2])
def test_nothing_is_both_seen_and_unseen(strong):
    """The weaker level of noise is the floor itself, and moves the figure as much as the stronger level does."""
    judged = worth("noisy", values(lambda name, level: strong if name == "noise" else float(name == "still")))
    assert "camera noise" in judged.sensitive + judged.weak
    assert not set(judged.sensitive + judged.weak) & set(judged.blind)


def test_one_cell_proves_nothing(call, monkeypatch):
    found = {name: obedient(name) for name in FIGURES}
    found["agreement"] = found["agreement"] | {("delay", 8): 0.99}
    versions = dict.fromkeys(FIGURES, ("metric", "1"))
    monkeypatch.setattr("megbench.commands.selfcheck.measure_all", lambda count, workers: (found, versions))
    courses = {"au_blendshape": ("1", dict.fromkeys(FOLLOWED, (0.9, 2)) | {"AU17": (0.6, 1)})}
    monkeypatch.setattr("megbench.commands.selfcheck.measure_courses", lambda: courses)
    code, out, _ = call("selfcheck", "--cells", "1")
    assert code == 0
    assert "not in this cell: agreement falls with delay" in out
    assert "One cell proves nothing" in out
    assert "BROKEN" not in out
    assert "AU15 0.90 (2), AU17 0.60 (1)" in out
    assert "holds: au_blendshape follows AU01" in out
    code, out, _ = call("selfcheck", "--cells", "2")
    assert code == 1
    assert "BROKEN: agreement falls with delay" in out
    code, _, err = call("selfcheck", "--cells", "1", "--keep")
    assert code == 2
    assert "one cell proves nothing" in err


def test_a_constant_figure_sees_nothing():
    judged = worth("constant", values(lambda name, level: 3.0))
    assert judged.sensitive == ()
    assert judged.saturation is None
    assert worth("absent", {}) is None


def obedient(figure):
    """Return values, on all variants, of a figure that obeys the laws."""
    low = {"still": 0.0, "wrong_driver": 0.1, "reversed": 0.2}
    late = figure in ("timing_error", "onset_shift", "apex_shift")

    def of(name, level):
        if name in low:
            return low[name] if "agreement" in figure or name == "still" else 0.5
        if name == "scale":
            by = {"gain": level, "error": abs(1 - level), "au_flow_icc": min(level, 1.0)}
            return 0.0 if late else by.get(figure, float(level > 0))
        return level if late else 1 - 0.05 * level

    return values(of)


FIGURES = (
    *("gain", "error", "agreement", "strain_agreement", "au_flow_icc"),
    *("timing_error", "onset_shift", "apex_shift", "spotting_recall"),
)


def test_the_laws_hold_for_figures_that_obey_and_break_for_others():
    found = {name: obedient(name) for name in FIGURES}
    laws = list(check_laws(found, {name: worth(name, found[name]) for name in found}))
    assert [law.text for law in laws if not law.holds] == []
    found["agreement"] = found["agreement"] | {("delay", 8): 0.99, ("reversed", 0.0): 0.9}
    laws = list(check_laws(found, {name: worth(name, found[name]) for name in found}))
    assert [law.text for law in laws if not law.holds] == [
        "agreement falls with delay",
        "agreement: still, wrong_driver and reversed agree least",
    ]


@pytest.mark.parametrize(
    ("figure", "variant", "value", "broken"),
    [
        ("strain_agreement", ("scale", 0.25), 0.9, "strain_agreement stays within"),
        ("onset_shift", ("delay", 8), 3.0, "onset_shift rises with delay"),
        ("spotting_recall", ("scale", 1.0), 15 / 18, "spotting_recall: the ground truth is spotted"),
        ("spotting_recall", ("still", 0.0), 0.05, "spotting_recall: the ground truth is spotted"),
    ],
)
def test_each_law_breaks_where_its_figure_does(figure, variant, value, broken):
    found = {name: obedient(name) for name in FIGURES}
    found[figure] = found[figure] | {variant: value}
    laws = check_laws(found, {name: worth(name, found[name]) for name in found})
    (law,) = [law for law in laws if not law.holds]
    assert law.text.startswith(broken)


def test_blendshapes_must_follow_each_of_the_units_that_they_stand_for():
    good = dict.fromkeys(FOLLOWED, (FOLLOWS, 1))

    def holds(units):
        return [law.holds for law in course_laws({"au_blendshape": ("1", units)})]

    assert holds(good) == holds(good | {"AU17": (0.1, 1)}) == [True]
    assert holds(good | {"AU04": (FOLLOWS - 0.01, 2)}) == holds({"AU01": (0.9, 2)}) == [False]
    assert list(course_laws({"au_flow": ("3", good)})) == []


class Named:
    def __init__(self, driver, template):
        self.driver, self.template = (type("Name", (), {"name": name}) for name in (driver, template))


def test_cells_are_chosen_across_drivers_and_templates():
    cells = [Named(driver.name, face.name) for driver in SHEET.drivers for face in SHEET.templates]
    chosen = chosen_cells(cells, 3)
    assert len({cell.driver.name.split("_")[0] for cell in chosen}) == 3  # styles
    assert len({cell.driver.name.split("_")[1] for cell in chosen}) == 3  # emotions
    assert len({cell.template.name for cell in chosen}) == 2
    assert len({cell.driver.name for cell in chosen_cells(cells, 9)}) == 9


@pytest.fixture(scope="module")
def answer() -> Answer:
    def scene(units, number):
        performance = Performance(tuple(Track(unit, ((0, 0), (3, 0.8), (5, 0.3))) for unit in units), 6, 40, 0.3)
        return Scene("s", "tests", "positive", Role("astronaut", "demo", number), performance, Camera(noise=0.0))

    return Answer(scene(["AU12"], 48), scene(["AU01"], 48), scene(["AU12"], 67))


def test_degradations_do_what_their_names_say(answer):
    truth = answer.frames(("scale", 1.0)).astype(float)

    def motion(frames):
        return np.abs(np.asarray(frames, float) - frames[0]).mean()

    assert motion(answer.frames(("still", 0.0))) == 0
    assert motion(answer.frames(("scale", 0.5))) < motion(truth) < motion(answer.frames(("scale", 1.5)))
    np.testing.assert_array_equal(answer.frames(("delay", 2))[2:], truth[:-2])
    np.testing.assert_array_equal(answer.frames(("reversed", 0.0)), truth[::-1])
    assert np.abs(answer.frames(("wrong_identity", 0.0)) - truth)[0].mean() > 5
    assert np.abs(answer.frames(("noise", 2)) - truth).std() == pytest.approx(1.2, abs=0.3)  # of |N(0, 2)|, rounded
    leaked = answer.frames(("leak", 0.6)).astype(float)
    assert np.abs(leaked - truth)[:, :100].max() > 10  # AU01 moves the brows in a clip of the mouth
    assert answer.frames(("jitter", 4)).shape == truth.shape
    assert answer.frames(("blur", 2)).astype(float).std() < truth.std()
