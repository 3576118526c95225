"""The generators that can be trained as published: "module:Recipe" by the name given to --methods."""

from megbench.baselines import GENERATORS
from megbench.core.generator import descriptors, recipes

TRAINABLES = recipes(descriptors(GENERATORS))
