"""Server-Sent Events, as the WHATWG's HTML standard has them (9.2.6, "Interpreting an event stream")."""

import codecs
import re
from typing import NamedTuple

_MILLISECONDS = re.compile(r"\d{1,9}", re.ASCII)


class Sent(NamedTuple):
    """One message of a stream."""

    event: str
    data: str


class Stream:
    """Understands one stream, whose bytes may come cut anywhere."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        """Where the stream stands: the id of the last message that was complete, also of one without data."""
        self.retry: int | None = None
        """After how many milliseconds to connect again, if the server says so."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line: list[str] = []
        self._at_start, self._after_cr = True, False
        self._id, self._event, self._data = last_id, "", list[str]()

    def feed(self, chunk: bytes) -> list[Sent]:
        """The messages that are complete now."""
        text = self._decoder.decode(chunk)
        if text and self._at_start:
            self._at_start, text = False, text.removeprefix("\ufeff")
        return [sent for line in self._lines(text) if (sent := self._read(line))]

    def _lines(self, text: str) -> list[str]:
        """The lines that are complete now: they end with CR, LF or both. One that ends with CR does not wait for LF."""
        if not text:
            return []
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r")
        *whole, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if whole:
            whole[0] = "".join((*self._line, whole[0]))
            self._line.clear()
        self._line.append(rest)
        return whole

    def _read(self, line: str) -> Sent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if _MILLISECONDS.fullmatch(value):
                self.retry = int(value)
            case _:  # a comment, or a field that the standard does not know
                pass
        return None

    def _dispatch(self) -> Sent | None:
        sent = Sent(self._event or "message", "\n".join(self._data)) if self._data else None
        self.last_id, self._event, self._data = self._id, "", []
        return sent
