from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import CleanText, Moment, Row


class ProviderRow(Row):
    __tablename__ = "providers"

    base_url: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    paused_at: Mapped[datetime | None] = mapped_column(Moment())
    why: Mapped[str] = mapped_column(CleanText())
    probe_at: Mapped[datetime | None] = mapped_column(Moment())
    probes: Mapped[int]
    probing_until: Mapped[datetime | None] = mapped_column(Moment())
    changed_at: Mapped[datetime] = mapped_column(Moment())
