"""What can be trained as published, by the name it has under --methods: "module:Recipe"."""

from baselines import GENERATORS
from core.generator import descriptors, recipes

TRAINABLES = recipes(descriptors(GENERATORS))
