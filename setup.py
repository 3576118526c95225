"""Build the wheel. In a checkout, the rooms are folders beside `megbench`; in the wheel, they are inside it."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOMS = sorted(
    file.parent.name for file in Path().glob("*/__init__.py") if file.parent.name not in ("megbench", "tests")
)
# Folders that contain no code; modules find them through `megbench.core.installation.ROOT`.
DATA = ("configs", "weights")
KINDS = ("css", "csv", "j2", "js", "json", "md", "npz", "py", "safetensors", "sh", "yaml")
# In requirements.txt, the packages needed to run the suite precede this line; those needed to develop it follow.
DEVELOPMENT = "# Development"


class BuildRooms(build_py):
    """Build from empty folders, so that no file of an earlier commit is included, and add the command line."""

    def run(self) -> None:
        """Empty the folder that the wheel is packed from, then fill it."""
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Return the package, name and file of each module; bench.py is `megbench.bench`."""
        found = list(super().find_package_modules(package, package_dir))
        return [*found, ("megbench", "bench", "bench.py")] if package == "megbench" else found


def required() -> list[str]:
    """Return the requirements in requirements.txt that precede its section on development."""
    lines = Path("requirements.txt").read_text(encoding="utf-8").partition(DEVELOPMENT)[0].splitlines()
    return [line for line in lines if line and not line.startswith("#")]


inside = [*ROOMS, *DATA]
setup(
    packages=[
        *("megbench", *(f"megbench.{name}" for name in inside)),
        *(f"megbench.{room}.{package}" for room in ROOMS for package in find_packages(room)),
    ],
    package_dir={"megbench": "megbench", **{f"megbench.{name}": name for name in inside}},
    package_data={"": [f"**/*.{kind}" for kind in KINDS]},
    install_requires=required(),
    cmdclass={"build_py": BuildRooms},
)
