"""What can be trained as published, by the name it has under --methods: "module:Recipe"."""

from megbench.baselines import GENERATORS
from megbench.core.generator import descriptors, recipes

TRAINABLES = recipes(descriptors(GENERATORS))
