"""What `--metrics` can name, in the order of the tables."""

METRICS = {
    "motion_agreement": "metrics.motion_agreement:MotionAgreement",
    "motion_agreement_v1": "metrics.motion_agreement_v1:MotionAgreementV1",
    "true_flow": "metrics.true_flow:TrueFlow",
    "au_flow": "metrics.au_flow:AuFlow",
    "pyfeat_occurrence": "metrics.pyfeat_occurrence:PyFeatOccurrence",
    "openface_intensity": "metrics.openface_intensity:OpenFaceIntensity",
    "identity_distance": "metrics.identity_distance:IdentityDistance",
    "face_distance": "metrics.face_distance:FaceDistance",
    "akd": "metrics.akd:Akd",
    "fidelity": "metrics.fidelity:Fidelity",
    "lpips": "metrics.lpips:Lpips",
    "lpips_vgg": "metrics.lpips:LpipsVgg",
    "lpips_squeeze": "metrics.lpips:LpipsSqueeze",
    "fid": "metrics.fid:Fid",
    "flicker": "metrics.flicker:Flicker",
    "sharpness": "metrics.sharpness:Sharpness",
    "counts": "metrics.counts:Counts",
}
# Measured only where `--metrics` names them: further variants, older versions, and what needs other programs.
ON_REQUEST = ("motion_agreement_v1", "lpips_vgg", "lpips_squeeze", "openface_intensity")
