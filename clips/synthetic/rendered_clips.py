"""Render scenes as clips on disk, each stored under a hash of everything that determines its frames."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from megbench.clips.portraits import portrait_path
from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.exact_frames import film
from megbench.clips.synthetic.parallel import in_parallel
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.performance import Performance
from megbench.clips.synthetic.render import Actor
from megbench.core.clip import Clip, load_clip, save_clip
from megbench.core.files.cache import digest, touch, whole_folder
from megbench.core.files.folder_lock import in_turn
from megbench.core.files.hashes import file_hash
from megbench.core.provenance import recipe


@dataclass(frozen=True)
class Scene:
    """One performance of one person, recorded `takes` times: the motion is the same, the noise different each time."""

    name: str
    database: str
    emotion: str
    role: Role
    performance: Performance
    camera: Camera
    takes: int = 1

    def key(self, take: int) -> str:
        """Return the content key of a take: a hash of the scene, its portrait, and the rendering code and packages."""
        portrait = file_hash(portrait_path(self.role.portrait))
        return digest([recipe(__name__), asdict(replace(self, takes=1)), portrait, take])


def shoot(scenes: Sequence[Scene], cache: Path, workers: int = 0) -> list[list[Clip]]:
    """Return the clips of all takes of all scenes, in order, rendering those that are not in `cache`.

    workers: as in `in_parallel`.
    """
    kept = [_kept(scene, cache) for scene in scenes]
    if _missing(scenes, kept):
        with in_turn(cache / ".rendering.lock"):  # while this run waits, another may render the clips
            kept = [_kept(scene, cache) for scene in scenes]
            missing = _missing(scenes, kept)
            in_parallel(partial(_record, cache), missing, "Rendering clips", workers=workers)
        kept = [_kept(scene, cache) if scene in missing else clips for scene, clips in zip(scenes, kept, strict=True)]
    for clip in itertools.chain(*kept):
        touch(clip.folder)
    return kept


def _missing(scenes: Sequence[Scene], kept: Sequence[list[Clip]]) -> list[Scene]:
    return [scene for scene, clips in zip(scenes, kept, strict=True) if len(clips) < scene.takes]


def _kept(scene: Scene, cache: Path) -> list[Clip]:
    found = (load_clip(cache / scene.key(take)) for take in range(scene.takes))
    return [clip for clip in found if clip is not None]


def _record(cache: Path, scene: Scene) -> None:
    """Render one scene and write the folder of each take, either completely or not at all."""
    pictures, known = film(Actor(scene.role.person()), scene.performance, scene.camera)
    onset, apex, offset = scene.performance.phases()
    for take in range(scene.takes):
        frames = scene.camera.record(pictures, np.random.default_rng([scene.performance.manner, 2, take]))
        clip = Clip(
            folder=cache,
            name=scene.name if take == 0 else f"{scene.name}.take{take + 1}",
            database=scene.database,
            subject=f"{scene.role.series}{'' if scene.role.number is None else scene.role.number}",
            emotion=scene.emotion,
            n_frames=len(frames),
            content="",
            fps=scene.camera.fps,
            onset_frame=onset,
            apex_frame=apex,
            offset_frame=offset,
            action_units=scene.performance.coded,
            colour=scene.camera.colour,
            rendered=True,
        )
        with whole_folder(cache / scene.key(take)) as folder:
            save_clip(folder, clip, frames, known)
