"""The order of transactions, in SQL: what each database knows of it."""

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class _Number(GenericFunction[int]):
    type = BigInteger()
    inherit_cache = True


class this_transaction(_Number):  # noqa: N801 - it reads as a function in SQL, as do those below
    """The number of the transaction that writes; 0 on SQLite, whose transactions come one after another."""

    inherit_cache = True


class first_open_transaction(_Number):  # noqa: N801
    """All transactions with a lower number have ended, as the statement sees it; 1 on SQLite."""

    inherit_cache = True


class next_transaction(_Number):  # noqa: N801
    """All transactions that the statement sees have lower numbers; 1 on SQLite."""

    inherit_cache = True


class last_number(_Number):  # noqa: N801
    """The highest number that an event ever had; null on PostgreSQL, where that says nothing."""

    inherit_cache = True


_SQL: dict[type[_Number], tuple[str, str]] = {
    this_transaction: ("0", "pg_current_xact_id()::text::bigint"),
    first_open_transaction: ("1", "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"),
    next_transaction: ("1", "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"),
    last_number: ("coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)", "NULL::bigint"),
}


@compiles(_Number, "sqlite")
def _on_sqlite(element: _Number, compiler: SQLCompiler, **_: Any) -> str:  # noqa: ANN401 - of the compiler's own
    del compiler
    return _SQL[type(element)][0]


@compiles(_Number, "postgresql")
def _on_postgresql(element: _Number, compiler: SQLCompiler, **_: Any) -> str:  # noqa: ANN401
    del compiler
    return _SQL[type(element)][1]
