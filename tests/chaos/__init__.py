"""What processes go through: `ledger serve` as a process of its own, told to stop, or killed."""

import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

_PATIENCE_SECONDS = 60
"""After this long a process is taken to hang."""

_MAX_LINE = 65_536


class Service:
    """A process that runs `ledger`, and what it has logged so far."""

    def __init__(self, process: Process) -> None:
        assert process.stderr is not None
        self.process = process
        self.log: list[str] = []
        self.url = ""
        self._stderr = BufferedByteReceiveStream(process.stderr)

    async def line(self, pattern: str) -> re.Match[str]:
        """Read the log up to the first line that the pattern is found in."""
        with anyio.fail_after(_PATIENCE_SECONDS):
            while (line := await self._read()) is not None:
                if found := re.search(pattern, line):
                    return found
        raise AssertionError(f"it ended without {pattern!r}: {self.log}")

    async def ended(self, patience: float | None = _PATIENCE_SECONDS) -> int:
        """Read the log to its end and wait for the exit code."""
        with anyio.fail_after(patience):
            while await self._read() is not None:
                pass
            return await self.process.wait()

    async def _read(self) -> str | None:
        try:
            line = (await self._stderr.receive_until(b"\n", _MAX_LINE)).decode()
        except (anyio.IncompleteRead, anyio.EndOfStream):
            return None
        self.log.append(line)
        return line


@asynccontextmanager
async def started(
    *arguments: str, directory: Path, python: str = sys.executable, **variables: str
) -> AsyncGenerator[Service]:
    """`ledger` with these arguments, in an environment of these variables alone; killed if it still runs at the end."""
    command = [python, "-m", "ledger", *arguments]
    async with await anyio.open_process(
        command, env=variables, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield Service(process)
        finally:
            if process.returncode is None:
                process.kill()


@asynccontextmanager
async def serving(
    *options: str, command: str = "serve", directory: Path, python: str = sys.executable, **variables: str
) -> AsyncGenerator[Service]:
    """`ledger serve` or `ledger work` on a free port, once it listens."""
    async with started(command, "--port", "0", *options, directory=directory, python=python, **variables) as service:
        service.url = (await service.line(r"Listening on (http://127\.0\.0\.1:\d+)"))[1]
        yield service
