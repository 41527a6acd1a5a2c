from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import Json, Moment, Row
from ledger.insights.structs import Insight, OpenQuestion, Topic, Trait, TraitName, Trend, Words
from ledger.turns.structs import DecidedBy


class ScorecardRow(Row):
    __tablename__ = "scorecards"

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(Moment())
    run_id: Mapped[str]
    decided_by: Mapped[DecidedBy]
    first_seq: Mapped[int]
    last_seq: Mapped[int]
    messages: Mapped[int]
    topics: Mapped[list[Topic]] = mapped_column(Json(list[Topic]))
    rising: Mapped[list[Trend]] = mapped_column(Json(list[Trend]))
    fading: Mapped[list[Trend]] = mapped_column(Json(list[Trend]))
    open_questions: Mapped[list[OpenQuestion]] = mapped_column(Json(list[OpenQuestion]))
    insights: Mapped[list[Insight]] = mapped_column(Json(list[Insight]))
    preference_confidence: Mapped[float]
    importance: Mapped[int]


class TallyRow(Row):
    """What reflection has counted in a thread so far; only the newest is kept."""

    __tablename__ = "tallies"

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    tally: Mapped[str]


class ProfileRow(Row):
    __tablename__ = "profiles"

    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(Moment())
    run_id: Mapped[str | None]
    decided_by: Mapped[DecidedBy | None]
    reverted_to: Mapped[int | None]
    traits: Mapped[dict[TraitName, Trait]] = mapped_column(Json(dict[TraitName, Trait]))
    words: Mapped[Words] = mapped_column(Json(Words))
