"""The code stays portable to macOS and Windows: what only some systems provide is guarded and has a fallback."""

import ast
import json
import os
import runpy
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from megbench.core import provenance
from megbench.core.errors import CellFailed
from megbench.core.files.memo import Memo
from megbench.core.peak_memory import forget_peak, peak_mb
from megbench.core.tables import workbook_child
from megbench.core.worker import Lane, work
from megbench.methods import containers, external_run
from megbench.methods.external_description import Description
from tests.test_imports import MAY_IMPORT, sources

ROOT = Path(__file__).parent.parent
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {
    "os": {
        *("chown", "chroot", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups", "getloadavg", "getpgid"),
        *("getpriority", "getuid", "killpg", "mkfifo", "nice", "posix_fadvise", "posix_fallocate", "sched_getaffinity"),
        *(
            "sched_setaffinity",
            "sendfile",
            "setpgid",
            "setpriority",
            "setsid",
            "statvfs",
            "symlink",
            "sysconf",
            "uname",
        ),
    },
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "alarm", "pause", "setitimer"},
}
# The files that use these names. Each use is guarded and has a test below or in the file named beside it.
GUARDED = {
    "configs/external/fpb_layout.py": {"os.symlink"},  # tests/test_external.py
    "core/processors.py": {"os.sched_getaffinity"},  # tests/test_bench.py
    "core/tables/workbook_child.py": {"resource"},
    "methods/containers.py": {"os.getgid", "os.getuid"},
    "methods/external_run.py": {"os.killpg", "signal.SIGKILL"},
}
# Sources that name files only Linux has. They check `sys.platform` first, or work without these files.
FILES = {
    "commands/options.py": {"/dev"},
    "core/peak_memory.py": {"/proc/self/clear_refs", "/proc/self/status"},
    "core/provenance.py": {"/proc/cpuinfo"},
}


def used(path):
    """Yield the names in a source file that Windows or macOS lack."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in {*MODULES, *NAMES}:
            chosen = {alias.name for alias in node.names} & NAMES.get(node.module, set())
            yield from (f"{node.module}.{name}" for name in chosen)
            yield from [node.module] if node.module in MODULES else []
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in NAMES.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and str(node.value) in ("fork", "forkserver"):
            yield str(node.value)


def places():
    rooms = [path for room in MAY_IMPORT for path in sources(room)]
    return [ROOT / "bench.py", *rooms, *(ROOT / "megbench").glob("*.py"), *(ROOT / "configs").rglob("*.py")]


def test_what_other_systems_lack_is_used_where_it_is_guarded():
    found = {path.relative_to(ROOT).as_posix(): set(used(path)) for path in places()}
    assert {path: names for path, names in found.items() if names} == GUARDED


def test_files_of_linux_are_read_where_a_fallback_is():
    def named(path):
        texts = (node.value for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Constant))
        return {text for text in texts if str(text).startswith(("/proc", "/dev", "/sys", "/etc", "/tmp"))}

    found = {path.relative_to(ROOT).as_posix(): named(path) for path in places()}
    assert {path: names for path, names in found.items() if names} == FILES


def test_a_machine_is_described_without_proc(monkeypatch):
    def missing(self, *arguments, **options):
        raise FileNotFoundError(2, "No such file or directory", str(self))

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(Path, "write_text", missing)
    assert provenance._processor()
    assert not forget_peak()
    assert peak_mb() is None
    assert provenance.bfloat16_instructions() == "other"


def test_a_program_that_is_too_slow_is_ended_where_there_are_no_groups_of_processes(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "killpg")
    monkeypatch.setattr(external_run, "signal", SimpleNamespace())
    described = Description(
        system="slow", source="here", licence="none", command=("{python}",), checkout=str(tmp_path), timeout_s=3
    )
    sleeper = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
    with pytest.raises(CellFailed, match="took longer than 3 s"):
        external_run.run(sleeper, os.environ, described, tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "log.txt").read_text()), 0)


@pytest.mark.parametrize("linked", [True, False])
def test_the_layout_of_fpb_fomm_is_made_where_links_are_not_allowed(monkeypatch, tmp_path, linked):
    """The program writes its result beside its checkpoint, so the checkpoint must be in the working folder."""
    layout = runpy.run_path(str(ROOT / "configs" / "external" / "fpb_layout.py"))
    (tmp_path / "frames").mkdir()
    inputs = {
        **{"program": "run.py", "config": "c.yaml", "checkpoint": "model.pth", "template": "t.png", "driver": "frames"},
        **{"template_points": "t.json", "driver_points": "d.json", "work": "", "output": "made.mp4"},
    }
    for name in ("model.pth", "t.png"):
        (tmp_path / name).write_bytes(b"bytes")
    for name in ("t.json", "d.json"):
        (tmp_path / name).write_text("[]")
    (tmp_path / "c.yaml").write_text("{dataset_params: {}, animate_params: {}}")

    def called(command, cwd):
        checkpoint = Path(command[command.index("--checkpoint") + 1])
        assert (checkpoint.read_bytes(), checkpoint.parent) == (b"bytes", tmp_path / "log")
        (tmp_path / "log" / "animation").mkdir()
        (tmp_path / "log" / "animation" / "one.mp4").write_bytes(b"video")
        return 0

    def refused(*_):
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(subprocess, "call", called)
    if not linked:
        monkeypatch.setattr(os, "sep", "\\")
        monkeypatch.setattr(os, "symlink", refused)
    words = [word for name, value in inputs.items() for word in (f"--{name}", str(tmp_path / value))]
    monkeypatch.setattr(sys, "argv", ["fpb_layout.py", *words])
    layout["main"]()
    assert (tmp_path / "made.mp4").read_bytes() == b"video"


def test_a_container_runs_as_the_image_says_where_users_have_no_number(monkeypatch, tmp_path):
    assert "--user" in containers.started("image", tmp_path, [], {}, "/", False)
    monkeypatch.delattr(os, "getuid")
    assert "--user" not in containers.started("image", tmp_path, [], {}, "/", False)


def test_workbooks_are_read_where_memory_cannot_be_limited():
    child = f"runpy.run_path({workbook_child.__file__!r}, run_name='__main__')"
    without = f"import runpy, sys; sys.modules['resource'] = None; sys.argv = ['child', '9', '9', '9']; {child}"
    done = subprocess.run([sys.executable, "-c", without], input=b"no workbook", capture_output=True, check=True)
    assert "error" in json.loads(done.stdout)


def test_what_was_found_out_is_kept_byte_by_byte(tmp_path, monkeypatch):
    """Without O_BINARY, Windows would change the line endings, and the checksums would not match."""
    opened = []
    system = os.open
    monkeypatch.setattr(os, "O_BINARY", 0x8000_0000, raising=False)

    def noted(path, flags, *mode):
        opened.append(flags)
        return system(path, flags & ~os.O_BINARY, *mode)

    monkeypatch.setattr(os, "open", noted)
    log = Memo(tmp_path / "log")
    log.put("key", 1)
    log.save()
    assert opened[0] & os.O_BINARY
    assert Memo(tmp_path / "log").get("key") == 1


def doubler():
    return lambda item: 2 * item


def test_work_is_done_from_a_thread_that_hears_no_ctrl_c():
    """`signal.signal` works only in the main thread, but a server may call `megbench.score` in another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.extend(work([Lane("a", doubler, [[21]])], workers=1)))
    thread.start()
    thread.join(120)
    assert [(outcome.result, outcome.reason) for outcome in found] == [(42, "")]
