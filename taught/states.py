"""The states of every person in the training set: expressions from micro to wide, blinks and turned heads."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from megbench.clips.synthetic.personal_basis import personal_basis
from megbench.clips.synthetic.render import Actor
from megbench.core.clip import Float32s
from megbench.faces.facs import ACTION_UNITS, MICRO, Points
from megbench.faces.field import jacobian_determinant, similarity
from megbench.faces.turned import turned_by
from megbench.taught.people import SERIES, person, role

# Half of the expressive states are micro or smaller, a third are plain expressions of up to 12 pixels, and a sixth are
# wide, because networks that know only micro-motion tear the mouth of a real smile.
KINDS = ("micro", "plain", "micro", "wide", "micro", "plain")
MICRO_RANGE, PLAIN_RANGE = (0.15, 1.2), (0.5, 6.0)
# Limits on the intensities of units that move the lips and lids, where the mesh folds first.
CAPS = {"AU24": 0.84, "AU23": 1.3, "AU05": 1.7, "AU07": 1.7}
# Up to the intensity LIDS, AU43 moves the skin of the lids. From there to LIDS_MEET, a lid is drawn over the rest of
# the eye.
LIDS, LIDS_MEET = 1.3, 2.8
# The smallest and largest intensities of the units in wide states: dropped jaws, smiles that bare the teeth, speech,
# sneers, surprise and blinks.
WIDE: tuple[Mapping[str, tuple[float, float]], ...] = (
    {"AU26": (3.0, 5.5), "AU25": (2.0, 4.0)},
    {"AU12": (2.5, 4.5), "AU25": (1.2, 3.0), "AU10": (0.6, 2.0), "AU06": (0.8, 3.0)},
    {"AU25": (1.2, 3.5), "AU26": (1.0, 3.5), "AU20": (0.3, 2.0)},
    {"AU43": (2.6, 4.2)},
    {"AU10": (1.5, 3.5), "AU25": (0.8, 3.0), "AU09": (0.5, 2.0)},
    {"AU26": (2.0, 4.5), "AU25": (1.0, 3.0), "AU01": (1.5, 4.0), "AU02": (1.0, 4.0), "AU05": (0.5, 1.5)},
    {"AU12": (1.5, 4.0), "AU26": (1.5, 4.0), "AU25": (1.0, 3.0)},
    {"AU43": (2.0, 3.6), "AU25": (0.5, 2.5), "AU26": (0.3, 2.0)},
)
# Every fourth state has a small head motion; every eighth state has nothing else. Of the states with head motion, the
# share TURN_SHARE also turns the head.
HEAD_EVERY, ONLY_HEAD_EVERY, TURN_SHARE = 4, 8, 0.6
# The smallest and largest turn of the head, in radians.
TURN_RANGE = np.radians([1.0, 8.0])
# A state is weakened until the Jacobian determinant is at least this large at every point of these people's faces.
# These people are an average person and the three out of twelve on whom most states fold.
TRIED_ON, LEAST_JACOBIAN = (0, 1, 4, 8), 0.3


@dataclass(frozen=True)
class Cue:
    """The effect of a state on any face, in face units.

    displacement: (478, 2), the displacement of the vertices.
    turned: (478, 2), the part of the displacement that is caused by turning the head.
    jaw: how far the lower teeth move down.
    lids: the share of the eye's opening, as it is after the displacement, that a lid covers, 0 to 1.
    head: as in State.
    """

    displacement: Points
    turned: Points
    jaw: float
    lids: float
    head: tuple[float, float, float, float]

    def matrix(self, centre: Points) -> Float32s:
        """Return the head's similarity (2, 3) about `centre`."""
        scale, angle, x, y = self.head
        return similarity(scale, angle, (x, y), centre)


@dataclass(frozen=True)
class State:
    """A state of every person: unit intensities, a manner (by seed) and a head motion.

    `head`: scale, angle in radians, shift x and y in pixels, about the point between the eyes. `turn`: yaw (to the
    person's left) and pitch (down) in radians, used only where `head` moves, too.
    """

    action_units: dict[str, float]
    manner: int
    head: tuple[float, float, float, float]
    turn: tuple[float, float] = (0.0, 0.0)

    def cue(self) -> Cue:
        """Return the effect of the state on any face."""
        manner, turned = _manner(self.manner), turned_by(*self.turn)
        closing, jaw = (self.action_units.get(unit, 0.0) for unit in ("AU43", "AU26"))
        units = self.action_units | {"AU43": min(closing, LIDS)}
        displacement = np.tensordot([units.get(unit, 0.0) for unit in ACTION_UNITS], manner, axes=1) + turned
        drop = jaw * manner[ACTION_UNITS.index("AU26"), 152, 1]
        lids = np.clip((closing - LIDS) / (LIDS_MEET - LIDS), 0, 1)
        return Cue(np.asarray(displacement), turned, float(drop), float(lids), self.head)

    def weaker(self) -> "State":
        """Return the same state with its intensities and its turn reduced to 85 %."""
        units = {unit: 0.85 * amount for unit, amount in self.action_units.items()}
        return State(units, self.manner, self.head, (0.85 * self.turn[0], 0.85 * self.turn[1]))


def draw_states(count: int, seed: int) -> list[State]:
    """Return the first `count` states for a seed; state 0 is neutral."""
    rng = np.random.default_rng([*SERIES.encode(), seed])
    states = [State({}, 0, (1.0, 0.0, 0.0, 0.0))]
    expressive = 0
    while len(states) < count:
        index = len(states)
        units: dict[str, float] = {}
        if index % ONLY_HEAD_EVERY:
            units = _draw_units(KINDS[expressive % len(KINDS)], expressive // len(KINDS), rng)
            expressive += 1
        state = State(units, index, (1.0, 0.0, 0.0, 0.0))
        if index % HEAD_EVERY == 0:
            head = (1 + rng.normal(0, 0.004), rng.normal(0, 0.005), *np.clip(rng.normal(0, 0.8, 2), -2, 2))
            state = State(units, index, tuple(map(float, head)), _draw_turn(rng))  # type: ignore[arg-type]
        while _least_jacobian(state.cue().displacement) < LEAST_JACOBIAN:
            state = state.weaker()
        states.append(state)
    return states


@cache
def _tried_on() -> list[Actor]:
    return [Actor(person(role(number, SERIES))) for number in TRIED_ON]


def _least_jacobian(displacement: Points) -> float:
    return min(float(jacobian_determinant(actor.move(displacement)).min()) for actor in _tried_on())


@lru_cache(maxsize=256)
def _manner(number: int) -> Points:
    """Return displacements (18, 478, 2) at intensity 1, in face units."""
    return personal_basis(np.random.default_rng([*SERIES.encode(), number])) * MICRO


def _draw_turn(rng: np.random.Generator) -> tuple[float, float]:
    """Draw yaw and pitch; both are 0 in some states."""
    size = rng.uniform(*TURN_RANGE)
    way = rng.uniform(0, 2 * np.pi)
    turns = rng.random() < TURN_SHARE
    return (float(size * np.cos(way)), float(size * np.sin(way))) if turns else (0.0, 0.0)


def _draw_units(kind: str, number: int, rng: np.random.Generator) -> dict[str, float]:
    """Draw the intensities of one kind of state; for wide states, `number` selects the recipe."""
    if kind == "wide":
        return _draw_wide(WIDE[number % len(WIDE)], rng)
    least, most = MICRO_RANGE if kind == "micro" else PLAIN_RANGE
    count = rng.integers(1, 5)
    units = rng.choice(ACTION_UNITS, count, replace=False)
    strongest = most if kind == "micro" else most / np.sqrt(count)  # the more units there are, the weaker each is
    amounts = np.exp(rng.uniform(np.log(least), np.log(strongest), count))
    return {str(unit): _capped(str(unit), amount) for unit, amount in zip(units, amounts, strict=True)}


def _draw_wide(recipe: Mapping[str, tuple[float, float]], rng: np.random.Generator) -> dict[str, float]:
    """Draw correlated intensities for the units of a recipe and, in some states, one more unit of the upper face."""
    together = rng.random()
    units = {}
    for unit, (least, most) in recipe.items():
        share = 0.6 * together + 0.4 * rng.random()
        units[unit] = _capped(unit, least + (most - least) * share)
    extra = str(rng.choice(["AU01", "AU02", "AU04", "AU06", "AU15"]))
    amount = float(np.exp(rng.uniform(*np.log(PLAIN_RANGE))) / 2)
    return {extra: amount} | units if rng.random() < 0.4 else units


def _capped(unit: str, amount: float) -> float:
    return float(min(amount, CAPS.get(unit, np.inf)))
