"""Wording that messages share: numbers agree with their nouns."""

import pytest

from megbench.core.errors import plural


@pytest.mark.parametrize(
    ("count", "nouns", "words"),
    [
        (0, ("frame",), "0 frames"),
        (1, ("frame",), "1 frame"),
        (2, ("frame",), "2 frames"),
        (1200, ("frame",), "1,200 frames"),
        (1, ("person", "people"), "1 person"),
        (3, ("person", "people"), "3 people"),
    ],
)
def test_a_number_agrees_with_its_noun(count, nouns, words):
    assert plural(count, *nouns) == words
