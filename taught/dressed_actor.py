"""People as shown in the training set, with the inside of their mouths, lids that meet, and glasses."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from megbench.clips.synthetic import glasses, inner_mouth, lids
from megbench.clips.synthetic.overlay import Painted, laid
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.render import AT_REST, Actor, Shot
from megbench.core.clip import Float32s
from megbench.faces.field import invert_steep
from megbench.faces.mesh import Points
from megbench.taught.people import person
from megbench.taught.states import Cue

# The vertices with which the teeth and the glasses move when the skull turns: one on the inner edge of the upper lip,
# and one on the bridge of the nose.
TEETH_AT, GLASSES_AT = 13, 168
# Seeds for the mouth and the glasses, which are drawn independently of the face.
MOUTHS, GLASSES = 1, 2


class DressedActor:
    """A person in front of the camera, with the same mouth and, if worn, the same glasses in every state."""

    def __init__(self, role: Role, wears_glasses: bool) -> None:
        self._actor = Actor(person(role))
        self.face = self._actor.person.face
        seed = [*role.series.encode(), role.number or 0]
        self._mouth = inner_mouth.drawn_mouth(np.random.default_rng([MOUTHS, *seed]))
        self._glasses = glasses.drawn_glasses(np.random.default_rng([GLASSES, *seed])) if wears_glasses else None

    def shoot(self, cue: Cue) -> Shot:
        """Return the picture of a state and the motion of the person's skin."""
        forward = self._actor.move(cue.displacement)
        head = cue.matrix(self.face.landmarks[36:48].mean(0)) if cue.head[0] != 1 else AT_REST
        shot = self._actor.shoot(forward, head, invert_steep(forward))
        moved, anchor = cue.displacement, cue.turned[TEETH_AT]
        frame = inner_mouth.paint(shot.frame, self._mouth, self.face, moved, anchor, cue.jaw, head)
        frame = lids.close(frame, self.face, moved, cue.lids, head)
        if self._glasses:
            rests = head is AT_REST and not cue.turned.any()
            worn = self._worn_at_rest if rests else self._worn(cue.turned[GLASSES_AT], head)
            frame = laid(frame, *worn)
        return replace(shot, frame=frame)

    @cached_property
    def _worn_at_rest(self) -> Painted:
        return self._worn(np.zeros(2), AT_REST)

    def _worn(self, anchor: Points, head: Float32s) -> Painted:
        assert self._glasses, "only wearers ask"
        return glasses.worn(self._glasses, self.face, anchor, head)
