"""FPB-FOMM's descriptor."""

from megbench.core.generator import Generator, Mode, Published, Weights

NETWORKS = ("generator", "kp_detector")

GENERATOR = Generator(
    name="fpfomm",
    title="Facial Prior Based First Order Motion Model",
    paper="zhang2021facial",
    licence="MIT",
    driven_by="pictures",
    landmarks=True,
    modes={
        "relative": Mode("the template's given points take on the change of the driver's jacobians", NETWORKS),
        "absolute": Mode("the template takes on the driver's points, too, which training never shows", NETWORKS),
    },
    model="megbench.fpfomm.model:FpFommConfig",
    training="megbench.fpfomm.training",
    published=Published(required=NETWORKS),
    weights={
        "demo": Weights(
            "demo with another architecture",
            "MRAA's skips, bicubic sampling of the template, narrower layers",
        )
    },
)
