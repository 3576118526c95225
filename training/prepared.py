"""Training batches from prepared clip stores: two frames of one clip, as the published trainings take them.

Frames stay in their files and are mapped into memory; a batch touches only those it needs. Several stores are one set
(a mix). A person, whoever's database, stands on one side of the split only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import functional as pictures

from core.clip_store import STORE, ClipStore, StoredClip, file_hash, three_channels
from core.errors import BenchError
from core.frames import SIZE
from training.mirror import LANDMARK_PARTNERS
from training.variation import Jitter, PreparedSettings


class PreparedSet:
    """Pairs of frames from the clips in one or several stores; `held_out` people only validate.

    BenchError where a store is damaged or unfinished, two hold the same clip, or too few people are left.
    """

    def __init__(
        self, folders: Sequence[Path], held_out: int = 4, settings: PreparedSettings | None = None, check: bool = True
    ) -> None:
        self.settings = settings or PreparedSettings()
        self.stores = [ClipStore(folder, check) for folder in folders]
        self.clips = [(store, clip) for store in self.stores for clip in store.clips]
        names = [clip.recording for _, clip in self.clips]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BenchError(f"The clip {twice[0]} is in several of the stores. Give each database once.")
        drivers = [clip for _, clip in self.clips if clip.driver_of]
        people = {clip.person for clip in drivers} if self.settings.leave_out == "people" else set()
        out = {clip.recording for clip in drivers} if self.settings.leave_out != "nothing" else set()
        self.left_out = tuple(
            sorted(clip.recording for _, clip in self.clips if clip.recording in out or clip.person in people)
        )
        kept = [(store, clip) for store, clip in self.clips if clip.recording not in self.left_out]
        everybody = sorted({clip.person for _, clip in kept}, key=_shuffled)
        if not 0 < held_out < len(everybody):
            raise BenchError(
                f"data.held_out {held_out} must lie between 1 and {len(everybody) - 1}: the clips to train on show"
                f" {len(everybody)} people. Say --set data.held_out=N."
            )
        validating = set(everybody[:held_out])
        self._people = {"train": everybody[held_out:], "validation": everybody[:held_out]}
        self._split = {
            "train": [(store, clip) for store, clip in kept if clip.person not in validating],
            "validation": [(store, clip) for store, clip in kept if clip.person in validating],
        }

    def identities(self, split: str) -> list[str]:
        """The people of "train" or "validation", as "samm/018", by name."""
        return sorted(self._people[split])

    def recordings(self, split: str) -> list[str]:
        """The clips of "train" or "validation", as "samm/018_3_1", by name."""
        return sorted(clip.recording for _, clip in self._split[split])

    @property
    def facts(self) -> dict[str, Any]:
        """What a model's card must say: stores, and which clips and people were seen, to train or to choose by."""
        return {
            "databases": {store.facts.database: file_hash(store.folder / STORE) for store in self.stores},
            "clips_seen": sorted([*self.recordings("train"), *self.recordings("validation")]),
            "people_seen": sorted([*self.identities("train"), *self.identities("validation")]),
            "clips_left_out": list(self.left_out),
        }

    def describe(self) -> str:
        """The set in words."""
        databases = ", ".join(store.facts.database for store in self.stores)
        clips, people = len(self.facts["clips_seen"]), len(self.facts["people_seen"])
        return (
            f"{clips} clips of {people} people ({len(self._people['validation'])} held out to validate) of {databases};"
            f" {len(self.left_out)} clips of the challenge's drivers left out"
        )

    def batch(self, split: str, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """source and driving (B, 3, 256, 256) float32 RGB in [0, 1]; landmarks (B, 68, 2) pixels of the clip's frame 0.

        Every clip is as likely as any other; two frames are drawn with replacement, the earlier is the source.
        """
        clips = self._split[split]
        samples = [self._pair(*clips[int(rng.integers(len(clips)))], split, rng) for _ in range(size)]
        names = ("source", "driving", "landmarks")
        return {name: torch.stack(parts) for name, parts in zip(names, zip(*samples, strict=True), strict=True)}

    def _pair(
        self, store: ClipStore, clip: StoredClip, split: str, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        chosen = np.sort(rng.integers(0, clip.n_frames, 2))
        frames = three_channels(store.frames(clip)[chosen])
        pair = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float() / 255  # 2 3 256 256
        landmarks = torch.tensor(clip.landmarks, dtype=torch.float32)
        if split == "train":
            pair, landmarks = self._varied(pair, landmarks, rng)
        return pair[0], pair[1], landmarks

    def _varied(self, pair: Tensor, landmarks: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        back, mirror = rng.random(2) < 0.5
        if self.settings.flip and back:
            pair = pair.flip(0)
        elif self.settings.flip and mirror:
            pair = pair.flip(3)
            if self.settings.mirror_points:
                landmarks = landmarks[list(LANDMARK_PARTNERS)]
                landmarks = torch.stack([SIZE - 1 - landmarks[:, 0], landmarks[:, 1]], dim=1)
        return jittered(pair, self.settings.jitter, rng), landmarks


def jittered(pair: Tensor, jitter: Jitter, rng: np.random.Generator) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1] with other colours, all alike; the changes come in a random order."""
    changes = (
        (pictures.adjust_brightness, 1 + jitter.brightness * rng.uniform(-1, 1), 1.0),
        (pictures.adjust_contrast, 1 + jitter.contrast * rng.uniform(-1, 1), 1.0),
        (pictures.adjust_saturation, 1 + jitter.saturation * rng.uniform(-1, 1), 1.0),
        (pictures.adjust_hue, jitter.hue * rng.uniform(-1, 1), 0.0),
    )
    for index in rng.permutation(len(changes)):
        change, amount, nothing = changes[index]
        if amount != nothing:
            pair = change(pair, float(amount))
    return pair


def _shuffled(person: str) -> bytes:
    """A fixed order of people that has nothing to do with their names."""
    return hashlib.blake2b(person.encode(), digest_size=8).digest()
