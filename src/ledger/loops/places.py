"""Capacity: how many turns may run at once in this process, and whose turn it is to start one."""

from typing import Protocol

import anyio


class Asker(Protocol):
    """Whoever wants places: a loop, or a run-now."""

    @property
    def leaves_free(self) -> int:
        """How many places it must leave to others."""
        ...

    def wake_up(self) -> None:
        """Called when a place may be had."""
        ...


class Places:
    """Places are given in the order they were asked for; whoever takes one goes to the end of the line."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self._line: list[Asker] = []

    def take(self, asker: Asker, most: int) -> int:
        """Take up to `most` places at once; with 0 the asker stands in line and is woken."""
        if asker not in self._line:
            self._line.append(asker)
        if self._next() is not asker:
            return 0
        taken = min(most, self.free - asker.leaves_free)
        self.free -= taken
        self.leave(asker)
        return taken

    def has_in_line(self, asker: Asker) -> bool:
        return asker in self._line

    def leave(self, asker: Asker) -> None:
        """Stand in line no longer."""
        if asker in self._line:
            self._line.remove(asker)
            self._wake_next()

    def give_back(self, count: int = 1) -> None:
        self.free += count
        self._wake_next()

    async def take_first(self) -> None:
        """Wait for one place, ahead of all loops: for what a person asked for."""
        person = _Person()
        self._line.insert(sum(isinstance(asker, _Person) for asker in self._line), person)
        try:
            while not self.take(person, 1):
                await person.woken.wait()
                person.woken = anyio.Event()
        finally:
            self.leave(person)

    def _next(self) -> Asker | None:
        return next((asker for asker in self._line if self.free > asker.leaves_free), None)

    def _wake_next(self) -> None:
        if asker := self._next():
            asker.wake_up()


class _Person:
    leaves_free = 0

    def __init__(self) -> None:
        self.woken = anyio.Event()

    def wake_up(self) -> None:
        self.woken.set()
