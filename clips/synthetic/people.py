"""Roles: people identified by numbers, each drawn from a portrait."""

from dataclasses import dataclass, replace

import numpy as np

from megbench.clips.portraits import Portrait, read_portrait
from megbench.clips.synthetic.identities import Person, make_person
from megbench.clips.synthetic.look import Look


@dataclass(frozen=True)
class Role:
    """A person identified by a number: the same portrait, series and number always give the same person.

    portrait: the name of a built-in portrait, or a path. number: None for the unchanged portrait. look: the look with
    which the person's photograph was published, or None for a person in front of a camera. With a look, the published
    photograph itself is moved, including its JPEG artefacts.
    """

    portrait: str
    series: str
    number: int | None
    look: Look | None = None

    def person(self, portrait: Portrait | None = None) -> Person:
        """Create the person. Raise BenchError if the portrait cannot be read or shows no face.

        portrait: the contents of `self.portrait`, if the caller has them. If None, the file is read and dlib detects
        the face.
        """
        person = self._drawn(portrait or read_portrait(self.portrait))
        return replace(person, texture=self.look.of(person.texture)) if self.look else person

    def _drawn(self, portrait: Portrait) -> Person:
        if self.number is None:
            return Person(self.series, portrait.texture, portrait.face)
        rng = np.random.default_rng([*self.series.encode(), self.number])
        return make_person(portrait, f"{self.series}{self.number}", rng)
