"""Whether the schema is the one this program works with."""

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from ledger import schema
from ledger.clock import Clock
from ledger.doctor.finding import Finding
from ledger.doctor.reading import reading
from ledger.settings import Settings

_MIGRATE = "Run `ledger migrate`."


async def look(settings: Settings, clock: Clock) -> list[Finding]:
    del clock
    async with reading(settings) as connection:
        revision = await connection.run_sync(_revision)
    return [_finding(revision)]


def _finding(revision: str | None) -> Finding:
    if revision is None:
        return Finding("migrations", "FAIL", "The database has no tables of Ledger yet.", _MIGRATE)
    if revision == schema.head():
        return Finding("migrations", "ok", f"The database is up to date, at revision {revision}.")
    if schema.is_known(revision):
        older = f"The database has revision {revision}, and this program needs {schema.head()}."
        return Finding("migrations", "FAIL", older, _MIGRATE)
    return Finding("migrations", "FAIL", schema.newer(revision), "Or restore the backup from before the upgrade.")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
