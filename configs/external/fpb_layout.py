"""Run FPB-FOMM's or AWP's published `run.py --mode animate` on one template and one driver.

The descriptions beside this file run it with the Python of the program's environment (PyTorch and PyYAML). It lays out
what the program's published loader reads: a dataset with one test pair, a file of key points for each clip (in a folder
that the loader's Windows path finds on every system), and the program's config with these folders in it. It then runs
the program and copies the only video that the program writes.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys

import torch
import yaml


def main():
    """Prepare the inputs, run the program and fetch its output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words = "program config checkpoint template driver template_points driver_points work output"
    for word in words.split():
        parser.add_argument(f"--{word}", required=True)
    given = parser.parse_args()
    data, log = os.path.join(given.work, "data"), os.path.join(given.work, "log")
    points = os.path.join(given.work, "keypoint_folder")
    for folder in (os.path.join(data, "train"), os.path.join(data, "test", "template"), log, points):
        os.makedirs(folder)
    shutil.copytree(given.driver, os.path.join(data, "test", "driver"))
    shutil.copy(given.template, os.path.join(data, "test", "template", "00000.png"))
    for name in ("template", "driver"):
        with open(getattr(given, f"{name}_points")) as file:
            torch.save(torch.tensor(json.load(file)), os.path.join(points, f"{name}.pt"))
    if os.sep == "/":  # the program names the folder as Windows does
        os.symlink(points, os.path.join(given.work, ".\\keypoint_folder"))
    pairs = os.path.join(given.work, "pairs.csv")
    with open(pairs, "w", newline="") as file:
        csv.writer(file).writerows([("distance", "source", "driving", "frame"), (0, "template", "driver", 0)])
    with open(given.config) as file:
        config = yaml.safe_load(file)
    config["dataset_params"].update(root_dir=data, pairs_list=pairs, id_sampling=False)
    config["animate_params"].update(num_pairs=1, format=".mp4")
    with open(os.path.join(given.work, "config.yaml"), "w") as file:
        yaml.safe_dump(config, file)
    checkpoint = os.path.join(log, os.path.basename(given.checkpoint))
    try:  # results go where the checkpoint is
        os.symlink(os.path.abspath(given.checkpoint), checkpoint)
    except OSError:  # on Windows, few users may create links
        shutil.copy(given.checkpoint, checkpoint)
    command = [sys.executable, given.program, "--mode", "animate", "--config", os.path.join(given.work, "config.yaml")]
    if code := subprocess.call([*command, "--checkpoint", checkpoint], cwd=given.work):
        sys.exit(code)  # the program's last line says why
    videos = os.path.join(log, "animation")
    found = [name for name in os.listdir(videos) if name.endswith(".mp4")]
    if len(found) != 1:
        sys.exit(f"one video is needed in {videos}, but there are {len(found)}")
    shutil.copy(os.path.join(videos, found[0]), given.output)


if __name__ == "__main__":
    main()
