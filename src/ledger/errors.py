"""What goes wrong, as exceptions and as RFC 9457 problem documents.

LedgerError
├── Malformed     400  the request cannot be read
├── Unauthorized  401  no token, or a wrong one
├── Forbidden     403  a page of another origin asks for a change
├── NotFound      404  nothing has this name
├── Conflict      409  not now: something else is under way
├── Stale         412  somebody else has changed it since
├── TooLarge      413  more than this server takes
├── NotJson       415  a body that is not JSON
├── Misdirected   421  the Host header names another server
├── Invalid       422  readable, but not what the operation takes
├── Unavailable   503  the server is stopping, or its database cannot be reached
│   └── Unreachable    no server answers: only the client raises it
└── Full          507  the disk, or the database on it, has no room
"""

from typing import ClassVar

import msgspec


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document (RFC 9457, `application/problem+json`)."""

    title: str
    """The status in words."""
    status: int
    """The HTTP status."""
    detail: str = ""
    """What went wrong, and what would be right, in sentences."""
    instance: str = ""
    """The path of the request that met the problem."""
    request_id: str = ""
    """As in `X-Request-ID`; the server's log has the same."""
    type: str = "about:blank"
    """Always `about:blank`: the status says what kind it is."""


class LedgerError(Exception):
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal Server Error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers: dict[str, str] = {}
        """Headers that belong to the answer, such as `Allow`."""
        self.request_id = ""
        """Of the request that met it, where a server's answer said so: its log has the same."""

    def problem(self, *, instance: str = "", request_id: str = "") -> Problem:
        return Problem(self.title, self.status, self.detail, instance, request_id)


class Malformed(LedgerError):
    status, title = 400, "Bad Request"


class Unauthorized(LedgerError):
    status, title = 401, "Unauthorized"


class Forbidden(LedgerError):
    status, title = 403, "Forbidden"


class NotFound(LedgerError):
    status, title = 404, "Not Found"


class Conflict(LedgerError):
    status, title = 409, "Conflict"


class Stale(LedgerError):
    status, title = 412, "Precondition Failed"


class TooLarge(LedgerError):
    status, title = 413, "Content Too Large"


class NotJson(LedgerError):
    status, title = 415, "Unsupported Media Type"


class Misdirected(LedgerError):
    status, title = 421, "Misdirected Request"


class Invalid(LedgerError):
    status, title = 422, "Unprocessable Content"


class Unavailable(LedgerError):
    status, title = 503, "Service Unavailable"


class Unreachable(Unavailable):
    def __init__(self, detail: str, *, was_sent: bool = True) -> None:
        super().__init__(detail)
        self.was_sent = was_sent
        """Whether the server may have got the request, and done what it asks."""


class Full(LedgerError):
    status, title = 507, "Insufficient Storage"
