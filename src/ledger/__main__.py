"""The `ledger` command."""

import argparse
import asyncio
import gc
import logging
import socket
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import Any

import anyio
import uvicorn
from sqlalchemy.exc import DBAPIError

from ledger import __version__, commands, schema
from ledger.app import Ledger, Role, create_app, prepare_schema, routed
from ledger.backup import backup
from ledger.db import Database
from ledger.doctor import doctor
from ledger.errors import LedgerError
from ledger.openapi.document import printed
from ledger.settings import Settings, load
from ledger.variables import SettingError

log = logging.getLogger("ledger")

_SECONDS_TO_ANSWER = 0.05
_SECONDS_TO_TAKE = 0.5
_SECONDS_TO_END = 2
_TICK_SECONDS = 0.1
_MOST_DAYS = 366


class Server(uvicorn.Server):
    """One process, with API, loops or both. A signal ends both at once; a second one does not wait for anything."""

    def __init__(self, config: uvicorn.Config, app: Ledger, *, patience: float) -> None:
        """`patience`: seconds that requests under way get once it is told to stop."""
        super().__init__(config)
        self._app = app
        self._patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not the base class's way: it would raise the signal again at the end, and exit with its number.
        del sig, frame
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._app.stopping.set)

    async def main_loop(self) -> None:
        # The base class looks ten times a second whether to stop; this one is told.
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            self._cut_off()
            with anyio.move_on_after(_TICK_SECONDS):
                await self._app.stopping.wait()

    def _cut_off(self) -> None:
        """End connections that the application has given up, without waiting for those at the other end."""
        given_up = set(self._app.cut_off)
        self._app.cut_off.clear()
        for connection in list(self.server_state.connections) if given_up else ():
            if getattr(connection, "client", None) in given_up:
                connection.transport.abort()  # pyright: ignore[reportOptionalMemberAccess]

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        loop = asyncio.get_running_loop()
        loop.call_later(self._patience, self._hang_up)
        loop.call_later(self._patience + _SECONDS_TO_TAKE, self._abort)
        await super().shutdown(sockets)  # pyright: ignore[reportArgumentType]
        if self.force_exit:  # the base class would leave the loops as they are, in the middle of a turn
            with anyio.move_on_after(_SECONDS_TO_END):
                await self.lifespan.shutdown()

    def _hang_up(self) -> None:
        """Close what is still open, such as a request whose body never comes."""
        for connection in list(self.server_state.connections):
            transport: asyncio.Transport = connection.transport  # pyright: ignore[reportAssignmentType, reportOptionalMemberAccess]
            transport.close()

    def _abort(self) -> None:
        """End what is still open because nobody takes what was sent."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # pyright: ignore[reportOptionalMemberAccess]

    async def startup(self, sockets: list[object] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)  # pyright: ignore[reportArgumentType]
        for server in self.servers if self.started else []:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                log.info("Listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)


def main(arguments: list[str] | None = None) -> int:
    parsed = _parser().parse_args(arguments)
    if parsed.command == "openapi":
        sys.stdout.write(printed(routed(Settings())))
        return 0
    overrides = {
        name: str(value) for name in ("host", "port", "work_port") if (value := getattr(parsed, name, None)) is not None
    }
    try:
        settings, warnings = load(overrides=overrides)
    except SettingError as error:
        sys.stderr.write(f"ledger: {error}\n")
        return 2
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    for name in ("alembic", "aiosqlite", "httpx2", "httpcore2", "openai", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for warning in warnings:
        log.warning(warning)
    return _carry_out(parsed, settings)


def _carry_out(parsed: argparse.Namespace, settings: Settings) -> int:
    match parsed.command:
        case "migrate":
            return _migrate(settings)
        case "work":
            return _serve(settings, "loops")
        case "serve":
            return _serve(settings, "all" if parsed.loops else "api")
        case "explain":
            work = commands.explain(settings, parsed)
        case "simulate":
            work = commands.simulated(settings, parsed)
        case "doctor":
            work = doctor(settings)
        case _:
            work = backup(settings, parsed)
    return 0 if _succeeds(work, settings) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ledger", description="An always-on companion for conversation threads.")
    parser.add_argument("--version", action="version", version=f"ledger {__version__}")
    names = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = names.add_parser("serve", help="run the API and the loops")
    serve.add_argument("--host", help="address to listen on (CRT_HOST, 127.0.0.1)")
    serve.add_argument("--port", help="port to listen on (CRT_PORT, 8000)")
    serve.add_argument("--no-loops", dest="loops", action="store_false", help="leave the loops to `ledger work`")
    work = names.add_parser("work", help="run the loops; over HTTP it tells its health, and nothing else")
    work.add_argument("--host", help="address to tell it on (CRT_HOST, 127.0.0.1)")
    work.add_argument("--port", dest="work_port", metavar="PORT", help="port to tell it on (CRT_WORK_PORT, 8001)")
    names.add_parser("migrate", help="bring the database up to date")
    explain = names.add_parser("explain", help="say why the next heartbeat of a thread will act, or will not")
    explain.add_argument("thread", metavar="THREAD")
    simulate = names.add_parser("simulate", help="say what heartbeats would do in the coming days; nothing is written")
    simulate.add_argument("--days", type=_days, default=7.0, help="how many days, at most 366 (7)")
    simulate.add_argument("--thread", action="append", default=[], help="a thread; may be repeated (all)")
    simulate.add_argument("--instructions", metavar="FILE", help="follow this file in place of the one in force")
    names.add_parser("doctor", help="look at all that Ledger stands on, and say what is wrong; nothing is changed")
    names.add_parser("openapi", help="print the OpenAPI document of the API")
    backup_to = names.add_parser("backup", help="copy the SQLite database into a new file, also while Ledger runs")
    backup_to.add_argument("file", metavar="FILE")
    return parser


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"write a number of days, more than 0 and at most {_MOST_DAYS}")
    return days


def _migrate(settings: Settings) -> int:
    if not _succeeds(schema.migrate(settings.database_url), settings):
        return 1
    log.info("The database %s is up to date", Database(settings.database_url).name)
    return 0


def _succeeds(work: Coroutine[Any, Any, None], settings: Settings) -> bool:
    """Do something to the database; what goes wrong is said in one line."""
    try:
        anyio.run(lambda: work, backend_options={"use_uvloop": sys.platform != "win32"})
    except (schema.SchemaError, LedgerError) as error:
        sys.stderr.write(f"ledger: {error}\n")
    except (DBAPIError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        sys.stderr.write(f"ledger: The database {Database(settings.database_url).name} cannot be used: {cause}\n")
    except ModuleNotFoundError as error:
        sys.stderr.write(f"ledger: {error.name} is not installed. For PostgreSQL: pip install 'ledger[postgres]'.\n")
    except KeyboardInterrupt:
        work.close()  # it may not have begun
        sys.stderr.write("ledger: Stopped.\n")
    else:
        return True
    return False


def _serve(settings: Settings, role: Role) -> int:
    if not _succeeds(prepare_schema(settings), settings):
        return 1
    app = create_app(settings, role=role)
    port = settings.work_port if role == "loops" else settings.port
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # connections are known by their own addresses
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=int(settings.stop_grace_seconds) + _SECONDS_TO_END,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = Server(config, app, patience=settings.stop_grace_seconds + _SECONDS_TO_ANSWER)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:  # before the loops start, so that nothing happens where the port is taken
        listening = socket.create_server((settings.host, port), family=family)
    except OSError as error:
        sys.stderr.write(f"ledger: Cannot listen on {settings.host}:{port}: {error.strerror}\n")
        return 1
    server.run(sockets=[listening])
    gc.freeze()  # the interpreter's last collection would walk all modules for a quarter of a second
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
