"""The descriptors of the trainable generators, by name: the facial-prior model (fpfomm/) and its baselines."""

GENERATORS = {
    "fpfomm": "megbench.fpfomm.generator:GENERATOR",
    "fomm": "megbench.baselines.fomm.generator:GENERATOR",
    "mraa": "megbench.baselines.mraa.generator:GENERATOR",
    "tps": "megbench.baselines.tps.generator:GENERATOR",
    "tps_rau": "megbench.baselines.tps_rau.generator:GENERATOR",
    "ulmegan": "megbench.baselines.ulmegan.generator:GENERATOR",
}
