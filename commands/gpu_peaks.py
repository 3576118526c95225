"""The peak performance of GPUs, as stated by the manufacturer."""

from __future__ import annotations

from dataclasses import dataclass

# TFLOP/s by the name that PyTorch gives a GPU. The first number is for float32 without tensor cores (TF32 is off), the
# second for bfloat16 on tensor cores with dense matrices and sums in float32. Sources, all by NVIDIA: "H100 Tensor Core
# GPU Architecture" (whitepaper); "H200 Tensor Core GPU" (datasheet; the H200 has the same chip); "A100 Tensor Core GPU"
# (datasheet); "L40S" (datasheet); "L4 Tensor Core GPU" (datasheet, which states bfloat16 with sparsity, twice the dense
# figure); for the GeForce, "NVIDIA Ada GPU Architecture" (whitepaper).
HOPPER, AMPERE = (66.9, 989.4), (19.5, 312.0)
PEAKS = {
    "NVIDIA H200": HOPPER,
    "NVIDIA H100 80GB HBM3": HOPPER,
    "NVIDIA A100-SXM4-40GB": AMPERE,
    "NVIDIA A100-SXM4-80GB": AMPERE,
    "NVIDIA A100-PCIE-40GB": AMPERE,
    "NVIDIA A100 80GB PCIe": AMPERE,
    "NVIDIA L40S": (91.6, 362.05),
    "NVIDIA L4": (30.3, 121.0),
    "NVIDIA GeForce RTX 4090": (82.6, 165.2),
}


@dataclass(frozen=True)
class Peak:
    """The dense peak performance of a device, in TFLOP/s, or None if it is unknown."""

    float32: float | None = None
    bf16: float | None = None

    @classmethod
    def of(cls, device: str) -> Peak:
        """Return the peak of a GPU, given its name in PyTorch. A MIG slice has another name and no known peak."""
        return cls(*PEAKS.get(device, ()))

    def used(self, tflops: float, precision: str) -> str:
        """Return a speed as text, with its share of the peak if the peak is known. precision: "float32" or "bf16"."""
        peak = self.float32 if precision == "float32" else self.bf16
        share = f", {tflops / peak:.0%} of {peak:g}" if peak else ""
        return f"{tflops:.3g} TFLOP/s{share}"
