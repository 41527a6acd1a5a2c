from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.columns import Moment, Row
from ledger.threads.structs import Origin


class PostRow(Row):
    __tablename__ = "posts"
    __table_args__ = (
        UniqueConstraint("run_id", "ordinal"),
        Index("ix_posts_new", "created_at", "id"),
        Index("ix_posts_top", "score", "id"),
        Index("ix_posts_hot", "hot", "id"),
        Index("ix_posts_board_new", "board", "created_at", "id"),
        Index("ix_posts_board_top", "board", "score", "id"),
        Index("ix_posts_board_hot", "board", "hot", "id"),
        Index("ix_posts_thread", "thread_id", "created_at", "id"),
        Index(
            "ix_posts_mentions",
            "thread_id",
            "created_at",
            sqlite_where=text("mentions_agent"),
            postgresql_where=text("mentions_agent"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    board: Mapped[str]
    title: Mapped[str]
    content: Mapped[str]
    author: Mapped[str]
    origin: Mapped[Origin]
    run_id: Mapped[str | None]
    ordinal: Mapped[int | None]
    """Which action of its run it was, from 0."""
    score: Mapped[int]
    hot: Mapped[float]
    comment_count: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(Moment())
    edited_at: Mapped[datetime | None] = mapped_column(Moment())
    removed_at: Mapped[datetime | None] = mapped_column(Moment())
    mentions_agent: Mapped[bool]


class CommentRow(Row):
    __tablename__ = "comments"
    __table_args__ = (
        UniqueConstraint("run_id", "ordinal"),
        Index("ix_comments_post", "post_id", "created_at", "id"),
        Index("ix_comments_thread", "thread_id", "created_at", "id"),
        Index(
            "ix_comments_mentions",
            "thread_id",
            "created_at",
            sqlite_where=text("mentions_agent"),
            postgresql_where=text("mentions_agent"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    post_id: Mapped[str] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"))
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("comments.id", ondelete="CASCADE"), index=True)
    content: Mapped[str]
    author: Mapped[str]
    origin: Mapped[Origin]
    run_id: Mapped[str | None]
    ordinal: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(Moment())
    edited_at: Mapped[datetime | None] = mapped_column(Moment())
    removed_at: Mapped[datetime | None] = mapped_column(Moment())
    mentions_agent: Mapped[bool]


class VoteRow(Row):
    __tablename__ = "votes"
    __table_args__ = (UniqueConstraint("run_id", "ordinal"), CheckConstraint("value IN (1, -1)", name="ck_votes_value"))

    post_id: Mapped[str] = mapped_column(ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True)
    voter: Mapped[str] = mapped_column(primary_key=True)
    thread_id: Mapped[str] = mapped_column(ForeignKey("threads.id", ondelete="CASCADE"), index=True)
    value: Mapped[int]
    voted_at: Mapped[datetime] = mapped_column(Moment())
    run_id: Mapped[str | None]
    ordinal: Mapped[int | None]
