from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import Json, Moment, Row


class KeptAnswerRow(Row):
    __tablename__ = "kept_answers"

    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str]
    """A digest of what was asked."""
    at: Mapped[datetime] = mapped_column(Moment(), index=True)
    status: Mapped[int | None]
    """null: it is not known yet, or was lost with the process that would have given it."""
    headers: Mapped[dict[str, str] | None] = mapped_column(Json(dict[str, str]))
    body: Mapped[bytes | None]
