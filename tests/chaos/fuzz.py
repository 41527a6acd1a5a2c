"""Requests that nobody thinks of: whether the service does what its OpenAPI document says, whatever it is sent.

`python -m tests.chaos.fuzz`: Schemathesis sends what the document allows and what it forbids, to a service without a
token and to one with. It has an environment of its own, which `make fuzz` makes. An error in the log counts as well.
"""
# ruff: noqa: T201 - it talks to whoever runs it

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec

from tests.chaos import Service, serving

ROOT = Path(__file__).parents[2]
TOKEN = "a-token"  # noqa: S105 - of a service of its own
_PATIENCE_SECONDS = 120
"""After so long beyond its time the fuzzer is taken to hang."""

_WRONG = re.compile(r" (ERROR|CRITICAL) |^Traceback")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=60, help="how long each service is tried")
    seconds = arguments.parse_args().seconds
    failed = [anyio.run(_try, token, seconds) for token in ("", TOKEN)]
    sys.exit(1 if any(failed) else 0)


async def _try(token: str, seconds: int) -> bool:
    """Whether anything failed."""
    print(f"\nA service {'with' if token else 'without'} a token:", flush=True)
    variables = {"CRT_TICK_SECONDS": "1", "CRT_HEARTBEAT_LOOP_ENABLED": "true"} | (
        {"CRT_API_TOKEN": token} if token else {}
    )
    code = 1
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        async with serving(directory=directory, **variables) as service, anyio.create_task_group() as tasks:
            tasks.start_soon(service.ended, None)  # read its log all the while
            try:
                with anyio.fail_after(seconds + _PATIENCE_SECONDS):
                    code = await _fuzz(service, directory, token, seconds)
            finally:
                service.process.terminate()
    wrong = [line for line in service.log if _WRONG.search(line)]
    print(*wrong[:20], f"errors in the log: {len(wrong)}; the service ended with {service.process.returncode}")
    return bool(code or wrong or service.process.returncode)


async def _fuzz(service: Service, directory: Path, token: str, seconds: int) -> int:
    document = directory / "openapi.json"
    document.write_bytes(msgspec.json.encode(await _document(service.url, token)))
    files = ["--config-file", str(ROOT / "tests/chaos/fuzz.toml"), "run", str(document)]
    done = await anyio.run_process(
        [str(ROOT / ".venv-fuzz/bin/schemathesis"), *files, "--url", service.url, "--max-time", str(seconds)],
        cwd=directory,
        env={"LEDGER_FUZZ_HOOKS": str(ROOT / "tests/chaos/fuzz_hooks.py"), "LEDGER_FUZZ_TOKEN": token or "none"},
        stdout=None,
        stderr=None,
        check=False,
    )
    return done.returncode


async def _document(url: str, token: str) -> dict[str, Any]:
    """As it is served; of a service that asks for a token, without the choice to send none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        document: dict[str, Any] = (await http.get("/docs/openapi.json")).raise_for_status().json()
    return document | ({"security": [{"bearer": []}]} if token else {})


if __name__ == "__main__":
    main()
