"""The generators that can be trained as published, as "module:Recipe" by the name passed to --methods."""

from megbench.baselines import GENERATORS
from megbench.core.generator import descriptors, recipes

TRAINABLES = recipes(descriptors(GENERATORS))
