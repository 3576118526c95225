"""The generators that learn, the facial-prior one (fpfomm/) and its baselines: their descriptors by name."""

GENERATORS = {
    "fpfomm": "fpfomm.generator:GENERATOR",
    "fomm": "baselines.fomm.generator:GENERATOR",
    "mraa": "baselines.mraa.generator:GENERATOR",
    "tps": "baselines.tps.generator:GENERATOR",
    "tps_rau": "baselines.tps_rau.generator:GENERATOR",
    "ulmegan": "baselines.ulmegan.generator:GENERATOR",
}
