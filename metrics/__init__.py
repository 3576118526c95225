"""The metrics that `--metrics` can name, in the order in which tables list them."""

METRICS = {
    "motion_agreement": "megbench.metrics.motion_agreement:MotionAgreement",
    "motion_agreement_v1": "megbench.metrics.motion_agreement_v1:MotionAgreementV1",
    "strain_agreement": "megbench.metrics.strain_agreement:StrainAgreement",
    "timing": "megbench.metrics.timing:Timing",
    "spotting": "megbench.metrics.spotting:Spotting",
    "true_flow": "megbench.metrics.true_flow:TrueFlow",
    "au_flow": "megbench.metrics.au_flow:AuFlow",
    "au_blendshape": "megbench.metrics.au_blendshape:AuBlendshape",
    "pyfeat_occurrence": "megbench.metrics.pyfeat_occurrence:PyFeatOccurrence",
    "openface_intensity": "megbench.metrics.openface_intensity:OpenFaceIntensity",
    "identity_distance": "megbench.metrics.identity_distance:IdentityDistance",
    "face_distance": "megbench.metrics.face_distance:FaceDistance",
    "akd": "megbench.metrics.akd:Akd",
    "fidelity": "megbench.metrics.fidelity:Fidelity",
    "lpips": "megbench.metrics.lpips:Lpips",
    "lpips_vgg": "megbench.metrics.lpips:LpipsVgg",
    "lpips_squeeze": "megbench.metrics.lpips:LpipsSqueeze",
    "frechet_alexnet": "megbench.metrics.frechet_alexnet:FrechetAlexNet",
    "fid": "megbench.metrics.fid:Fid",
    "flicker": "megbench.metrics.flicker:Flicker",
    "sharpness": "megbench.metrics.sharpness:Sharpness",
    "vbench": "megbench.metrics.vbench:Vbench",
    "counts": "megbench.metrics.counts:Counts",
}
# Measured only if `--metrics` names them: additional variants, older versions, and metrics that need other programs.
ON_REQUEST = ("motion_agreement_v1", "lpips_vgg", "lpips_squeeze", "au_blendshape", "openface_intensity", "vbench")
# The on-request metrics that `selfcheck` also measures if it can.
CHECKED_TOO = ("au_blendshape",)
