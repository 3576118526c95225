#!/usr/bin/env bash
# Everything that only a GPU can show, in one script: training/on_gpu.sh OUT [BUNDLE]
#
# Requires torch, cv2, safetensors, PyYAML and tqdm, but no network and no dlib. The script checks the reduced goldens
# with TF32 off, renders people from a bundle, trains full-size FPB-FOMM, FOMM and MRAA on the published losses and their
# small variants on exact flow, measures speed, and leaves small weights, logs and figures in OUT. Without a GPU it does
# the same on a small scale on the CPU, with two processes (gloo) in place of two GPUs.
#
# BUNDLE: made by `python -m megbench.taught.bundle BUNDLE` on a machine with dlib; default .megbench/people.npz.
# MINUTES: length of each training, default 5 (without a GPU, STEPS, default 4). MODELS: default all three.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?Usage: training/on_gpu.sh OUT [BUNDLE]}
bundle=${2:-.megbench/people.npz}
python=${PYTHON:-python3}
[ -f "$bundle" ] || { echo "$bundle is missing. Make it on a machine with dlib: python -m megbench.taught.bundle $bundle" >&2; exit 2; }
mkdir -p "$out"
device=$("$python" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
devices=$("$python" -c 'import torch; print(torch.cuda.device_count() or 2)')
echo "Device: $device, $devices processes"

for model in ${GOLDENS-fomm fpb mraa}; do
  "$python" -m tests.golden "tests/golden/$model.npz" --device "$device" | tee "$out/golden_$model.txt" | tail -n 1
done

set_folder=${SET:-$(mktemp -d)}
"$python" -m megbench.taught.on_gpu render "$bundle" "$set_folder" --states "${STATES:-60}"
for name in ${MODELS:-fpfomm fomm mraa}; do
  for size in full small; do
    [ "$device" = cuda ] || [ "$size" = small ] || continue
    limit=(--minutes "${MINUTES:-5}")
    [ "$device" = cuda ] || limit=(--steps "${STEPS:-4}")
    "$python" -m megbench.taught.on_gpu train "$name" "$size" "$set_folder" "$out" --device "$device" --devices "$devices" "${limit[@]}"
  done
done
"$python" -m megbench.taught.on_gpu measure "$out" --device "$device"
ls -l "$out"
