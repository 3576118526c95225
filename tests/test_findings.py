"""findings/README.md lists every script once, with a line on what it shows and a file that exists."""

import re
from pathlib import Path

HERE = Path(__file__).parent.parent / "findings"
ROW = re.compile(r"^\| \[(\w+\.sh)\]\((\w+\.sh)\) \| (.+) \| (.+ \d.+) \| \[([\w./]+)\]\(([\w./]+)\) \|$", re.MULTILINE)


def test_the_index_lists_every_script_once_and_only_files_that_exist():
    rows = ROW.findall((HERE / "README.md").read_text())
    assert [name for name, *_ in rows] == sorted(path.name for path in HERE.glob("*.sh"))
    for name, linked, _, _, answered, target in rows:
        assert linked == name
        assert target == f"../{answered}"
        assert (HERE / target).is_file(), answered
