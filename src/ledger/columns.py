"""How rows are declared: the base of all tables, and the types that both databases keep the same way."""

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, cast

import msgspec
from sqlalchemy import DateTime, Dialect, MetaData, Text, TypeDecorator
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class Row(DeclarativeBase):
    """A table. Rows never leave the folder they are declared in: stores give structs."""

    # A closed set of words is plain text here: the structs know which words, and it may grow without a migration.
    type_annotation_map: ClassVar[dict[Any, Any]] = {Literal: Text(), str: Text()}
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Moment(TypeDecorator[datetime]):
    """An aware moment in UTC; SQLite, which knows no zones, keeps it naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class CleanText(TypeDecorator[str]):
    """Text from outside that is kept for people to read; NUL, which PostgreSQL cannot keep, is left out."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        del dialect
        return None if value is None else value.replace("\x00", "")


class Json(TypeDecorator[Any]):
    """A value of one type, kept as JSON text (so that it may hold what a text column may not, such as NUL)."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: object) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        del dialect
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ANN401 - of the kind it was made for
        del dialect
        return None if value is None else msgspec.json.decode(value, type=cast("Any", self.kind))


class fresh_token(GenericFunction[str]):  # noqa: N801 - it reads as a function in SQL
    """32 random hex digits, another for every row of a statement."""

    inherit_cache = True


@compiles(fresh_token, "sqlite")
def _fresh_token_on_sqlite(element: fresh_token, compiler: SQLCompiler, **_: object) -> str:
    del element, compiler
    return "lower(hex(randomblob(16)))"


@compiles(fresh_token, "postgresql")
def _fresh_token_on_postgresql(element: fresh_token, compiler: SQLCompiler, **_: object) -> str:
    del element, compiler
    return "replace(gen_random_uuid()::text, '-', '')"


def columns(row: type[Row], struct: type[msgspec.Struct]) -> list[InstrumentedAttribute[Any]]:
    """The columns of a table that a struct has fields for, in the order of its fields."""
    return [getattr(row, name) for name in struct.__struct_fields__ if hasattr(row, name)]
