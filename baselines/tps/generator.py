"""TPS's descriptor."""

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
        "relative": Mode("the template's key points take on the scaled change of the driver's", NETWORKS),
        "avd": Mode("a network gives the template's key points the driver's pose", (*NETWORKS, AVD)),
        "standard": Mode("the driver's key points as they are, for a driver of the same face", NETWORKS),
    },
    model="megbench.baselines.tps.model:TpsConfig",
    training="megbench.baselines.tps.training",
    later={AVD: "avd"},
    weights={
        "demo": Weights(
            "demo with another architecture",
            "no background and AVD networks, a narrower ResNet, hardly any ridge in the splines, "
            "bicubic sampling of the template",
        )
    },
)
