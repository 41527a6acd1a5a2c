"""How Alembic reaches the database: over the program's connection, or over its own when called by hand."""

import asyncio
from typing import Literal

from alembic import context
from sqlalchemy import Connection, TypeDecorator
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from ledger.settings import load
from ledger.tables import METADATA


def plain_type(kind: str, item: object, _: object) -> str | Literal[False]:
    """Write what a column is in the database, not the program's own type, which may change or go."""
    return f"sa.{item.impl_instance!r}" if kind == "type" and isinstance(item, TypeDecorator) else False


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True, render_item=plain_type)
    with context.begin_transaction():
        context.run_migrations()


async def run_by_hand() -> None:
    settings, _ = load()
    engine = create_async_engine(settings.database_url, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


if (connection := context.config.attributes.get("connection")) is not None:
    run(connection)
else:
    asyncio.run(run_by_hand())
