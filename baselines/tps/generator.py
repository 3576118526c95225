"""The descriptor of TPS: what drives it, its modes, networks and weights."""

from megbench.core.generator import Generator, Mode, Weights

NETWORKS = ("inpainting_network", "dense_motion_network", "kp_detector")
AVD = "avd_network"

GENERATOR = Generator(
    name="tps",
    title="Thin-Plate Spline Motion Model",
    paper="zhao2022thin",
    licence="MIT",
    driven_by="pictures",
    modes={
        "relative": Mode("applies the scaled change of the driver's key points to the template's", NETWORKS),
        "avd": Mode("a network gives the template's key points the driver's pose", (*NETWORKS, AVD)),
        "standard": Mode("uses the driver's key points unchanged, for a driver of the same face", NETWORKS),
    },
    model="megbench.baselines.tps.model:TpsConfig",
    training="megbench.baselines.tps.training",
    later={AVD: "avd"},
    weights={
        "demo": Weights(
            "demo with another architecture",
            "no background or AVD network, a narrower ResNet, almost no ridge regularisation of the splines, "
            "bicubic sampling of the template",
        )
    },
)
