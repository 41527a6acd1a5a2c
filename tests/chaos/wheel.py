"""Build the wheel, install it into an empty environment, and serve from there: `python -m tests.chaos.wheel`.

Needs a package index, as any installation does, and takes a minute or two.
"""
# ruff: noqa: T201 - it talks to whoever runs it

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import anyio
import httpx

from ledger import __version__
from tests.chaos import serving

ROOT = Path(__file__).parents[2]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        python = _install(directory)
        anyio.run(_serve, directory, python)


def _install(directory: Path) -> str:
    """Build and install; returns the Python of the environment."""
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(directory), str(ROOT))
    (wheel,) = directory.glob("*.whl")
    print(f"built {wheel.name}, {wheel.stat().st_size // 1024} KiB")
    venv.create(directory / "venv", with_pip=True)
    python = str(directory / "venv" / "bin" / "python")
    _run(python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel))
    print("installed it into an empty environment")
    return python


async def _serve(directory: Path, python: str) -> None:
    """It brings its migrations along, answers, and ends when told to."""
    async with serving(directory=directory, python=python) as service:
        async with httpx.AsyncClient(base_url=service.url) as http:
            (await http.get("/health/ready")).raise_for_status()
            thread = (await http.get("/api/threads/default")).raise_for_status().json()
            (await http.get("/docs")).raise_for_status()
        service.process.terminate()
        assert await service.ended() == 0, service.log
    assert thread["id"] == "default"
    print(f"ledger {__version__} served from it and ended with 0")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - our own words


if __name__ == "__main__":
    main()
