"""The descriptor of TPS with relative action units: what drives it, its modes, networks and weights."""

from megbench.core.generator import Generator, Mode, Weights

NETWORKS = ("inpainting_network", "dense_motion_network", "kp_detector")

GENERATOR = Generator(
    name="tps_rau",
    title="Thin-Plate Splines with Relative Action Units",
    paper="zhao2022fine",
    licence="MIT",
    driven_by="action units",
    landmarks=True,
    modes={
        "relative": Mode(
            "applies the change since the driver's first frame to the template, whose geometry stays in place", NETWORKS
        ),
        "absolute": Mode(
            "like relative, but moves the template's geometry to the driver's, as published", NETWORKS, True
        ),
    },
    model="megbench.baselines.tps_rau.model:RauConfig",
    training="megbench.baselines.tps_rau.training",
    settings_of="settings_of",
    weights={
        "demo": Weights(
            "demo with another architecture",
            "it moves the template instead of painting it, and has narrower layers and almost no ridge regularisation"
            " of the splines",
        )
    },
)
