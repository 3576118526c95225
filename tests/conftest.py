"""Fixtures that several test files share: databases on disk that look like the real ones (tests/lookalikes.py)."""

import pytest

from tests import lookalikes


@pytest.fixture(scope="session")
def databases(tmp_path_factory):
    """Folders (of the table: the file) by name; to be read only."""
    root = tmp_path_factory.mktemp("databases")
    made = {}
    for name in ("casme2", "samm", "smic", "smic_e", "table"):
        (root / name).mkdir()
        made[name] = getattr(lookalikes, name)(root / name)
    return made
