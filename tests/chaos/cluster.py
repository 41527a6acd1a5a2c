"""A PostgreSQL server of its own in a temporary directory, to be stopped, paused, and started again."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio

_USER = "postgres"
_SETTINGS = {"fsync": "off", "max_connections": "60", "unix_socket_directories": "''", "listen_addresses": "127.0.0.1"}
"""Nothing here outlives a power cut, but all of it the server's end, however it comes."""


class NoCluster(Exception):
    """There is no PostgreSQL here, or it cannot be run."""


class Cluster:
    """The server, as an administrator has it."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self.port = _free_port()
        self.url = f"postgresql+asyncpg://{_USER}@127.0.0.1:{self.port}/postgres"
        self._programs = programs
        self._data = directory / "data"
        self._log = directory / "log"
        self._stopped: list[int] = []

    async def create(self) -> None:
        await self._run("initdb", "--auth=trust", f"--username={_USER}", "--encoding=UTF8", "--locale=C", "--no-sync")

    async def start(self) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
        await self._run("pg_ctl", "start", "--wait", f"--log={self._log}", f"--options=-p {self.port} {options}")

    async def stop(self, mode: str) -> None:
        """`mode`: `fast` ends all connections in order, `immediate` is a crash."""
        await self._run("pg_ctl", "stop", "--wait", f"--mode={mode}")

    async def pause(self) -> None:
        """Have it accept connections, as the system does for it, and answer nothing."""
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)  # first, so that it has no more children
        self._stopped = [postmaster, *await _children(postmaster)]
        for process in self._stopped[1:]:
            os.kill(process, signal.SIGSTOP)

    async def resume(self) -> None:
        for process in self._stopped:
            with suppress(ProcessLookupError):  # those before it may have ended it
                os.kill(process, signal.SIGCONT)
        self._stopped = []

    async def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_user(), str(self._programs / program), f"--pgdata={self._data}", *arguments]
        # Not through a pipe, which the server would inherit and keep open.
        with (self._data.parent / "output").open("w+") as output:
            done = await anyio.run_process(command, stdout=output, stderr=output, check=False, cwd=self._data.parent)
            output.seek(0)
            if done.returncode:
                raise NoCluster(f"{program} ended with {done.returncode}: {output.read().strip()}")


@asynccontextmanager
async def cluster_running() -> AsyncGenerator[Cluster]:
    programs = _programs()
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() == 0:
            shutil.chown(name, _USER)
        cluster = Cluster(programs, Path(name))
        await cluster.create()
        await cluster.start()
        try:
            yield cluster
        finally:
            with anyio.CancelScope(shield=True):
                await cluster.resume()
                await cluster.stop("immediate")


def _programs() -> Path:
    """Where `initdb` and `pg_ctl` are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if config := shutil.which("pg_config"):
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603 - as found
        found.append(Path(said.stdout.strip()))
    for path in reversed(found):
        if (path / "initdb").exists() and (path / "pg_ctl").exists():
            return path
    raise NoCluster(
        "there is no initdb here: install PostgreSQL's server (on Debian and Ubuntu: apt install postgresql)"
    )


def _as_user() -> list[str]:
    """What to put before a command that refuses to be run by root."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        raise NoCluster(f"root may not run PostgreSQL, and there is no user {_USER!r} to run it") from None
    for name, *arguments in (["runuser", "-u", _USER, "--"], ["setpriv", f"--reuid={_USER}", "--clear-groups"]):
        if program := shutil.which(name):
            return [program, *arguments]
    raise NoCluster("root may not run PostgreSQL, and there is neither runuser nor setpriv here")


async def _children(process: int) -> list[int]:
    listed = (await anyio.run_process(["ps", "-A", "-o", "pid=,ppid="])).stdout.decode()
    pairs = [line.split() for line in listed.splitlines()]
    return [int(pid) for pid, parent in pairs if int(parent) == process]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
