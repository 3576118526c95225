"""What `--metrics` can name, in the order of the tables."""

METRICS = {
    "motion_agreement": "metrics.motion_agreement:MotionAgreement",
    "true_flow": "metrics.true_flow:TrueFlow",
    "au_flow": "metrics.au_flow:AuFlow",
    "identity_distance": "metrics.identity_distance:IdentityDistance",
    "akd": "metrics.akd:Akd",
    "fidelity": "metrics.fidelity:Fidelity",
    "flicker": "metrics.flicker:Flicker",
    "sharpness": "metrics.sharpness:Sharpness",
    "counts": "metrics.counts:Counts",
}
