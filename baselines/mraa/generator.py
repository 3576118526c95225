"""The descriptor of MRAA: what drives it, its modes, networks and weights."""

from megbench.core.generator import Generator, Mode, Published, Weights

NETWORKS = ("generator", "region_predictor")
AVD = "avd_network"

GENERATOR = Generator(
    name="mraa",
    title="Motion Representations for Articulated Animation",
    paper="siarohin2021motion",
    licence="none granted; rewritten from a description of its mathematics",
    driven_by="pictures",
    modes={
        "avd": Mode("a network gives the template's regions the driver's pose", (*NETWORKS, AVD)),
        "relative": Mode("applies the change of the driver's regions to the template's", NETWORKS),
        "standard": Mode("uses the driver's regions unchanged, for a driver of the same face", NETWORKS),
    },
    model="megbench.baselines.mraa.model:MraaConfig",
    training="megbench.baselines.mraa.training",
    later={AVD: "avd"},
    # The main stage's checkpoint lacks the AVD network; some checkpoints lack the background predictor.
    published=Published(required=NETWORKS),
    weights={
        "demo": Weights(
            "demo with another architecture",
            "no background or AVD network, bicubic sampling of the template, narrower layers",
        )
    },
)
