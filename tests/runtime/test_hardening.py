"""Hardening: private files, no core dump, and no access to the memory of the process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.process import await_port, free_port

if TYPE_CHECKING:
    from tests.support.bucket import Bucket
    from tests.support.sync import Sync

ROOT = Path(__file__).parents[2]
HARDEN = "from steps.runtime import hardening; hardening.harden()\n"
WAIT = "import signal; print('ready', flush=True); signal.pause()"


def started(*command: str, folder: Path, **environ: str) -> subprocess.Popen[str]:
    """Start Python with these arguments in a folder, with core dumps enabled and the usual umask."""
    return subprocess.Popen(
        ["sh", "-c", 'ulimit -c unlimited; umask 022; exec "$@"', "sh", sys.executable, *command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert process.stdout.readline() == "ready\n"


def is_dumped_by(process: subprocess.Popen[str], number: int) -> bool:
    """Kill a process with a signal, and return whether the kernel dumped its core."""
    with process:
        process.send_signal(number)
        _, status = os.waitpid(process.pid, 0)
        process.returncode = -number
    assert os.WTERMSIG(status) == number
    return os.WCOREDUMP(status)


@pytest.fixture
def core_dumps(tmp_path: Path) -> None:
    """Skip the test if this kernel dumps no core for an ordinary process."""
    ordinary = started("-c", WAIT, folder=tmp_path)
    wait_until_ready(ordinary)
    if not is_dumped_by(ordinary, signal.SIGQUIT):
        pytest.skip("this kernel writes no core dumps")
    for core in tmp_path.glob("core*"):
        core.unlink()


@pytest.mark.usefixtures("core_dumps")
@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV])
def test_hardened_process_dumps_no_core(number: signal.Signals, tmp_path: Path) -> None:
    process = started("-c", HARDEN + WAIT, folder=tmp_path)
    wait_until_ready(process)
    assert not is_dumped_by(process, number)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("core_dumps")
@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT])
def test_serve_dumps_no_core(number: signal.Signals, tmp_path: Path) -> None:
    port = free_port()
    environ = {"WORK_DIR": str(tmp_path / "work"), "METRICS_PORT": str(port), "GIT_TOKEN": "ghp_0123456789"}
    process = started("-m", "steps", "serve", folder=tmp_path, **environ)
    await_port(f"127.0.0.1:{port}")
    assert not is_dumped_by(process, number)
    assert not list(tmp_path.rglob("core*"))


@pytest.mark.usefixtures("core_dumps")
@pytest.mark.parametrize("hardened", [False, True])
def test_children_of_a_hardened_process_dump_no_core(hardened: bool, tmp_path: Path) -> None:
    """git and its helpers have the token in memory."""
    child = "import subprocess; subprocess.run(['sh', '-c', 'kill -QUIT $$'])"
    with started("-c", (HARDEN if hardened else "") + child, folder=tmp_path) as process:
        assert process.wait() == 0
    assert bool(list(tmp_path.glob("core*"))) is not hardened


# Code that becomes a user without privileges, to whom the kernel's checks apply. A change of user makes the
# process not dumpable, so prctl(PR_SET_DUMPABLE, 1) reverts that.
BECOME_NOBODY = """
import ctypes, os, signal, subprocess, sys
from steps.runtime import hardening
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


@needs_root
@pytest.mark.parametrize("hardened", [False, True])
@pytest.mark.parametrize("file", ["environ", "mem", "maps"])
def test_other_processes_of_the_user_cannot_read_a_hardened_process(
    file: str, hardened: bool, tmp_path: Path
) -> None:
    read = "import sys; open(f'/proc/{sys.argv[1]}/{sys.argv[2]}', 'rb').close(); print('ready')"
    harden = HARDEN if hardened else ""
    with started("-c", BECOME_NOBODY + harden + WAIT, folder=tmp_path) as process:
        wait_until_ready(process)
        reader = started("-c", BECOME_NOBODY + read, str(process.pid), file, folder=tmp_path)
        out, _ = reader.communicate()
        process.kill()
    assert out == ("" if hardened else "ready\n")


@needs_root
def test_hardened_process_passes_descriptors_to_its_children(tmp_path: Path) -> None:
    """git gets the token in this way. The user is not root."""
    code = """
import subprocess
handle = os.memfd_create("token")
os.write(handle, b"content")
subprocess.run(["cat", f"/proc/self/fd/{handle}"], pass_fds=[handle], check=True)
"""
    with started("-c", BECOME_NOBODY + HARDEN + code, folder=tmp_path) as process:
        assert process.communicate()[0] == "content"


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of all files and directories below a folder, except links."""
    found = (path for path in folder.rglob("*") if not path.is_symlink())
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in found}


@pytest.mark.parametrize("mode", ["0755", "2775"])
def test_run_creates_files_that_only_owner_and_intended_group_can_read(
    mode: str, sync: Sync, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.put_many(
        {"clusterbackup/east/shop/Secret/a.yaml": b"kind: Secret\n", "clusterbackup/west/b": b"b"}
    )
    sync.work_dir.mkdir()
    sync.work_dir.chmod(int(mode, 8))  # 2775 is the mode of a Kubernetes volume with an fsGroup
    with started("-m", "steps", "run", folder=tmp_path, **sync.settings) as process:
        out, _ = process.communicate()
    assert process.returncode == 0, out
    allowed = 0o2750 if mode == "2775" else 0o700
    found = modes(sync.work_dir)
    assert "clusterbackup/east/shop/Secret/a.yaml" in found
    assert not {name: oct(mode) for name, mode in found.items() if mode & ~allowed}
    if mode == "2775":
        assert found["sync-metadata.json"] == found["clusterbackup/east/shop/Secret/a.yaml"] == 0o640


def test_run_keeps_the_permissions_of_a_repository_on_this_machine(
    sync: Sync, bucket: Bucket, repository: Path, tmp_path: Path
) -> None:
    bucket.put("clusterbackup/east/a.yaml", b"a")
    with started("-m", "steps", "run", folder=tmp_path, **sync.settings) as process:
        out, _ = process.communicate()
    assert process.returncode == 0, out
    found = modes(repository)
    assert found["refs/heads/main"] == 0o644
    assert {mode for name, mode in found.items() if name.endswith(".pack")} <= {0o444}
    assert all(mode & 0o044 for mode in found.values())
