"""The descriptor of FPB-FOMM: what drives it, its modes, networks and weights."""

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
        "relative": Mode("applies the change of the driver's jacobians to the template's given points", NETWORKS),
        "absolute": Mode("also moves the template to the driver's points, which never happens in training", NETWORKS),
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
