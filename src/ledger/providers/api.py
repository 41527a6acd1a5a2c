from litestar import Controller, get

from ledger.db import Database
from ledger.providers import store
from ledger.providers.structs import Provider
from ledger.wire import Given


class ProviderController(Controller):
    path = "/api/providers"
    tags = ["providers"]

    @get()
    async def list_providers(self, db: Given[Database]) -> list[Provider]:
        """The models that have failed at some time; those that are paused get no calls but probes."""
        async with db.read() as session:
            return await store.known(session)
