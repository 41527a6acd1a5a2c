"""What `ledger explain` and `ledger simulate` do: read the database, and print for people."""

import sys
from argparse import Namespace
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from ledger import schema
from ledger.clock import Clock, ServerClock, SystemClock, local_text
from ledger.db import Database
from ledger.errors import Invalid
from ledger.heartbeat.explain import Explainer
from ledger.heartbeat.explanation import Explanation
from ledger.instructions import store
from ledger.settings import Settings
from ledger.simulate import Request, Simulated, Simulation, Totals, simulate

_WIDEST = 60


async def explain(settings: Settings, arguments: Namespace) -> None:
    """Print why the next heartbeat of a thread will act, or will not."""
    async with _database(settings) as (db, clock):
        explainer = Explainer.of(settings, db, clock, has_provider=settings.has_provider)
        _print(_explained(await explainer.explain(arguments.thread)))
        async with db.read() as session:
            version = await store.newest(session)
            is_news = _on_disk(settings) not in (None, version.content if version else None)
        if is_news:
            _print([f"The file {settings.heartbeat_md} holds another text, which a running service will take up."])


async def simulated(settings: Settings, arguments: Namespace) -> None:
    """Print what heartbeats would do in the coming days."""
    text = None if arguments.instructions is None else _text(Path(arguments.instructions))
    request = Request(days=arguments.days, thread_ids=arguments.thread, instructions=text)
    async with _database(settings) as (db, clock):
        started_at = clock.now()
        simulation = await simulate(settings, db, clock, request)
        took = (clock.now() - started_at).total_seconds()
    _print(_simulated(simulation, took))


@asynccontextmanager
async def _database(settings: Settings) -> AsyncGenerator[tuple[Database, Clock]]:
    """The database as it is: neither made nor migrated."""
    db = Database(settings.database_url)
    _refuse_missing(db)
    await schema.verify(settings.database_url)
    clock = SystemClock() if db.is_sqlite else ServerClock()
    try:
        if isinstance(clock, ServerClock):
            await clock.follow(db.server_time)
        yield db, clock
    finally:
        await db.close()


def _on_disk(settings: Settings) -> str | None:
    path = Path(settings.heartbeat_md)
    return path.read_bytes().decode("utf-8-sig", "replace") if path.is_file() else None


def _refuse_missing(db: Database) -> None:
    if db.is_sqlite and not Path(db.url.database or "").is_file():
        raise schema.SchemaError(f"There is no database {db.name} yet: run `ledger serve` first.")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8 (byte {error.start}).") from None


def _print(lines: Iterable[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


def _explained(found: Explanation) -> Iterable[str]:
    yield f"{found.thread_id}: {found.summary}"
    yield ""
    yield from _table(
        ["gate", "", "why"], [[gate.gate, "open" if gate.open else "CLOSED", gate.why] for gate in found.gates]
    )
    yield ""
    yield "New since the last decision: " + (" ".join(found.changes) or "nothing.")
    if found.tasks:
        yield ""
        yield from _table(
            ["task", "schedule", "next", "when", "last ran", "outcome"],
            [
                [
                    task.name,
                    task.schedule,
                    "due now" if task.is_due else _local(task.next_slot, found.timezone),
                    task.when or "",
                    _local(task.last_ran_at, found.timezone),
                    task.last_outcome or "",
                ]
                for task in found.tasks
            ],
        )
    if found.slots:
        yield ""
        yield from _table(
            [f"slot ({found.timezone})", "UTC", "tasks due"],
            [[slot.local, f"{slot.utc:%Y-%m-%d %H:%M}", ", ".join(slot.tasks)] for slot in found.slots],
        )
    cost = found.cost
    yield ""
    yield (
        f"Cost now: {cost.calls} calls; decided by {cost.model or cost.decided_by}; a prompt has about "
        f"{cost.prompt_tokens:,} tokens, an answer at most {cost.max_completion_tokens:,}."
    )
    yield from found.problems


def _simulated(simulation: Simulation, took: float) -> Iterable[str]:
    titles = ["slot (local)", "to", "thread", "slots", "outcome", "tasks", "tokens", "what"]
    yield from _table(titles, [_beat(beat) for beat in simulation.beats])
    yield ""
    yield from _table(
        ["thread", "slots", "calls", "prompt tokens", "answer tokens, at most", "slots by outcome"],
        [_total(name, totals) for name, totals in simulation.totals.items()],
    )
    for name in simulation.off:
        yield f"The heartbeat of {name} is switched off, or its active hours never open."
    calls = sum(totals.calls for totals in simulation.totals.values())
    tokens = sum(totals.prompt_tokens for totals in simulation.totals.values())
    yield ""
    yield (
        f"{_counted(len(simulation.totals), 'thread')} from {simulation.starts_at:%Y-%m-%d %H:%M} to "
        f"{simulation.ends_at:%Y-%m-%d %H:%M} UTC: a model would have got {_counted(calls, 'call')} with about "
        f"{tokens:,} tokens. "
        f"Simulated in {took:.1f} s, decided by rules; nothing was written."
    )


def _beat(beat: Simulated) -> list[str]:
    run = beat.run
    return [
        _local(run.first_slot, beat.timezone),
        "" if run.first_slot == run.last_slot else _local(run.last_slot, beat.timezone),
        run.thread_id,
        f"{run.slots:,}",
        run.reason or run.outcome,
        ", ".join(task.name for task in run.tasks),
        "" if beat.prompt_tokens is None else f"{beat.prompt_tokens:,}",
        "" if run.outcome == "skipped" else run.summary,
    ]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _total(name: str, totals: Totals) -> list[str]:
    outcomes = ", ".join(f"{count} {what}" for what, count in sorted(totals.outcomes.items()))
    sums = (totals.slots, totals.calls, totals.prompt_tokens, totals.max_completion_tokens)
    return [name, *(f"{each:,}" for each in sums), outcomes]


def _local(moment: datetime | None, timezone: str) -> str:
    return local_text(moment, timezone) if moment else "-"


def _table(titles: list[str], rows: list[list[str]]) -> Iterable[str]:
    """Columns side by side; the last one is not cut."""
    cut = [[_short(cell) for cell in row[:-1]] + [row[-1]] for row in rows]
    widths = [max(len(row[index]) for row in [titles, *cut]) for index in range(len(titles))]
    for row in [titles, *cut]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
