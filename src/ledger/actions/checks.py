"""What an action must pass before it is applied."""

import re
from datetime import datetime, timedelta

from msgspec import Struct

from ledger.approvals.structs import Policy
from ledger.budgets.plan import Plan
from ledger.db import Session
from ledger.mind.texts import similarity, words
from ledger.posts import store as posts
from ledger.posts.structs import MAX_CONTENT, MAX_TITLE, Post

SIMILARITY = 0.9
"""Word-set Jaccard index from which on two texts count as the same."""

WINDOW = timedelta(hours=24)
NEWEST = 50

_BOARD = re.compile(r"[a-z0-9_-]{1,64}")


class Refused(Exception):
    """An action that must not be applied, and why."""


class Scene(Struct, frozen=True, kw_only=True):
    """Where and by whom actions are applied, and within what."""

    thread_id: str
    run_id: str
    agent: str
    now: datetime
    plan: Plan
    policy: Policy = "auto"
    may_speak: bool = False
    """Whether the agent may say something in the thread."""
    speaks: bool = False
    """Whether what is posted is also said in the thread."""


def is_id(text: str) -> bool:
    """Whether a text may be an id; PostgreSQL takes no NUL even in a question."""
    return "\x00" not in text


def check_text(what: str, text: str, longest: int) -> None:
    if not text.strip():
        raise Refused(f"The {what} is empty.")
    if len(text) > longest:
        raise Refused(f"The {what} has {len(text):,} characters; at most {longest:,} are allowed.")
    if "\x00" in text:
        raise Refused(f"The {what} holds a NUL character.")


def check_title(title: str) -> None:
    check_text("title", title, MAX_TITLE)


def check_content(content: str) -> None:
    check_text("content", content, MAX_CONTENT)


def check_board(board: str) -> None:
    if not _BOARD.fullmatch(board):
        raise Refused(f"{board!r} is not a board: use 1 to 64 of a-z, 0-9, _ and -.")


def check_new(text: str, earlier: list[str], where: str = "on this board") -> None:
    """Refuse what the agent has said there a short while ago."""
    if is_any_alike(text, earlier):
        raise Refused(f"It says nearly the same as something the agent wrote {where} in the last 24 hours.")


def is_any_alike(text: str, others: list[str]) -> bool:
    """Whether one of some texts says nearly the same."""
    said = words(text)
    return any(similarity(said, words(other)) >= SIMILARITY for other in others)


async def find_post(session: Session, scene: Scene, post_id: str) -> Post:
    post = await posts.find(session, scene.thread_id, post_id) if is_id(post_id) else None
    if post is None:
        raise Refused(f"There is no post {post_id!r} in this thread.")
    return post
