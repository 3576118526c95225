"""Training batches from prepared clip stores: two frames of one clip, as in the published training procedures.

Frames stay in their files, which are mapped into memory, so a batch reads only the frames that it needs. Several stores
form one set (a mix). Each person is on one side of the split only, whatever the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from megbench.core.clip import Float32s
from megbench.core.errors import BenchError, plural
from megbench.core.files.hashes import file_hash
from megbench.core.frames import SIZE
from megbench.core.prepared_clips import STORE, ClipStore, StoredClip, three_channels
from megbench.training.command import PUBLISHED, TrainingSet, TrainingSource
from megbench.training.mirror import LANDMARK_PARTNERS
from megbench.training.variation import LUMA, Jitter, PreparedSettings, StoreSettings, people_held_out

# Mirroring reverses x.
MIRROR = np.array([-1, 1], np.float32)


def prepared_set(folders: Sequence[Path]) -> TrainingSource:
    """Return a source of the clips in one or more stores; it draws two frames of one clip at a time."""

    def make(settings: StoreSettings, training: str) -> TrainingSet:
        return PreparedSet(folders, settings.held_out, settings.prepared)

    return TrainingSource(StoreSettings, make, (PUBLISHED,))


class PreparedSet:
    """Pairs of frames from the clips in one or more stores.

    held_out: the number of people used for validation only; None: as chosen by `people_held_out`. Raises BenchError
    if a store is damaged or unfinished, if two stores contain the same clip, or if too few people are left.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        held_out: int | None = None,
        settings: PreparedSettings | None = None,
        check: bool = True,
    ) -> None:
        self.settings = settings or PreparedSettings()
        self.stores = [ClipStore(folder, check) for folder in folders]
        self.clips = [(store, clip) for store in self.stores for clip in store.clips]
        names = [clip.recording for _, clip in self.clips]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BenchError(f"The clip {twice[0]} is in several of the stores. Name each database only once.")
        drivers = [clip for _, clip in self.clips if clip.driver_of]
        people = {clip.person for clip in drivers} if self.settings.leave_out == "people" else set()
        out = {clip.recording for clip in drivers} if self.settings.leave_out != "nothing" else set()
        self.left_out = tuple(
            sorted(clip.recording for _, clip in self.clips if clip.recording in out or clip.person in people)
        )
        kept = [(store, clip) for store, clip in self.clips if clip.recording not in self.left_out]
        everybody = sorted({clip.person for _, clip in kept}, key=_shuffled)
        self.held_out = people_held_out(held_out, len(everybody))
        validating = set(everybody[: self.held_out])
        self._people = {"train": everybody[self.held_out :], "validation": everybody[: self.held_out]}
        self._split = {
            "train": [(store, clip) for store, clip in kept if clip.person not in validating],
            "validation": [(store, clip) for store, clip in kept if clip.person in validating],
        }

    def identities(self, split: str) -> list[str]:
        """Return the people of "train" or "validation", as "samm/018", sorted by name."""
        return sorted(self._people[split])

    def recordings(self, split: str) -> list[str]:
        """Return the clips of "train" or "validation", as "samm/018_3_1", sorted by name."""
        return sorted(clip.recording for _, clip in self._split[split])

    @property
    def videos(self) -> int:
        """The number of training clips."""
        return len(self._split["train"])

    def facts(self) -> dict[str, Any]:
        """Return facts for the weights' card.

        They list the stores, both splits, the clips and people used (for training or validation), and the clips that
        could not be used.
        """
        return {
            "stores": self.hashes(),
            "trained_on_identities": self.identities("train"),
            "validated_on_identities": self.identities("validation"),
            "clips_seen": sorted([*self.recordings("train"), *self.recordings("validation")]),
            "people_seen": sorted([*self.identities("train"), *self.identities("validation")]),
            "clips_left_out": list(self.left_out),
            "clips_unusable": {
                f"{store.facts.database}/{name}": why
                for store in self.stores
                for name, why in store.facts.left_out.items()
            },
        }

    def hashes(self) -> dict[str, str]:
        """Return the stores by database, each with a hash that changes with any of its clips."""
        return {store.facts.database: file_hash(store.folder / STORE) for store in self.stores}

    def describe(self) -> str:
        """Return a description of the set in words."""
        databases = ", ".join(store.facts.database for store in self.stores)
        clips, people = sum(map(len, self._split.values())), sum(map(len, self._people.values()))
        return (
            f"{plural(clips, 'clip')} of {plural(people, 'person', 'people')}"
            f" ({len(self._people['validation'])} held out for validation) of {databases};"
            f" {plural(len(self.left_out), 'clip')} of the challenge's drivers left out"
        )

    def batch(self, split: str, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Return source and driving (B, 3, 256, 256) float32 RGB in [0, 1], and landmarks (B, 68, 2) in pixels.

        The landmarks are those of the clip's frame 0. Every clip is equally likely. Two of its frames are drawn with
        replacement. The earlier is the source, unless a training pair is reversed in time.
        """
        clips = self._split[split]
        samples = [self._pair(*clips[int(rng.integers(len(clips)))], split, rng) for _ in range(size)]
        names = ("source", "driving", "landmarks")
        parts = zip(*samples, strict=True)
        return {name: torch.from_numpy(np.stack(part)) for name, part in zip(names, parts, strict=True)}

    def _pair(
        self, store: ClipStore, clip: StoredClip, split: str, rng: np.random.Generator
    ) -> tuple[Float32s, Float32s, Float32s]:
        chosen = np.sort(rng.integers(0, clip.n_frames, 2))
        pair = np.float32(1 / 255) * three_channels(store.frames(clip)[chosen])  # 2 256 256 3
        landmarks = np.array(clip.landmarks, np.float32)
        if split == "train":
            pair, landmarks = self._varied(pair, landmarks, rng)
        source, driving = np.ascontiguousarray(pair.transpose(0, 3, 1, 2))
        return source, driving, landmarks

    def _varied(self, pair: Float32s, landmarks: Float32s, rng: np.random.Generator) -> tuple[Float32s, Float32s]:
        back, mirror = rng.random(2) < 0.5
        if self.settings.flip and back:
            pair = pair[::-1]
        elif self.settings.flip and mirror:
            pair = pair[:, :, ::-1]
            if self.settings.mirror_points:
                landmarks = np.array([SIZE - 1, 0], np.float32) + landmarks[list(LANDMARK_PARTNERS)] * MIRROR
        return jittered(pair, self.settings.jitter, rng), landmarks


def jittered(pair: Float32s, jitter: Jitter, rng: np.random.Generator) -> Float32s:
    """Return pictures (N, H, W, 3) RGB in [0, 1] with the same colour changes, applied in random order."""
    brightness, contrast, saturation = 1 + np.array(
        [jitter.brightness, jitter.contrast, jitter.saturation], np.float32
    ) * rng.uniform(-1, 1, 3).astype(np.float32)
    turn = 360 * jitter.hue * rng.uniform(-1, 1)
    for change in rng.permutation(4):
        if change == 0:
            pair = pair * brightness
        elif change == 1:
            mean = (pair @ LUMA).mean((1, 2))[:, None, None, None]
            pair = mean + contrast * (pair - mean)
        elif change == 2:
            luma = (pair @ LUMA)[..., None]
            pair = luma + saturation * (pair - luma)
        elif turn:
            pair = np.stack([turned(picture, turn) for picture in pair])
        pair = np.clip(pair, 0, 1, dtype=np.float32)
    return pair


def turned(picture: Float32s, degrees: float) -> Float32s:
    """Return a picture (H, W, 3) RGB in [0, 1] with its hue rotated by `degrees`."""
    hsv = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + degrees) % 360
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)


def _shuffled(person: str) -> bytes:
    """Return a sort key that puts people into a fixed order independent of their names."""
    return hashlib.blake2b(person.encode(), digest_size=8).digest()
