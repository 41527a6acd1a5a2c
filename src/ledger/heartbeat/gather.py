"""What a heartbeat reads before it decides: bounded in tokens, however long the history and whatever people write.

Names of authors and boards are shown whole: they are 64 characters at most. All other texts are clipped.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple, TypeVar

from msgspec import structs

from ledger.approvals import store as approvals
from ledger.approvals.structs import MAX_PENDING, Approval, ApprovalStatus
from ledger.db import Session
from ledger.heartbeat.context import (
    CommentSeen,
    Context,
    EntrySeen,
    Learned,
    OwnProposal,
    OwnQuestion,
    OwnRun,
    PostSeen,
    Said,
)
from ledger.insights import profiles, scorecards
from ledger.journal import store as journal
from ledger.journal.structs import Entry
from ledger.mind import changes
from ledger.mind.profile import described
from ledger.mind.reading import LINE, lines
from ledger.posts import comments
from ledger.posts import store as posts
from ledger.posts.structs import Comment, Mention, Post
from ledger.questions import store as questions
from ledger.questions.structs import Question, QuestionStatus
from ledger.runs import store as runs
from ledger.runs.structs import Run
from ledger.threads import messages, said
from ledger.threads import store as threads
from ledger.threads.structs import Message
from ledger.tokens import clip, json_tokens

T = TypeVar("T")


class Allowance(NamedTuple):
    """How much is read of one kind, the newest first; one at least, which always fits."""

    items: int
    tokens: int
    """Of all of them together, as JSON."""


TOKENS = 11_200
"""How many tokens a context has at most, as JSON: the allowances below, and 230 for names, title and counts."""

MESSAGES, POSTS, COMMENTS = Allowance(20, 2_000), Allowance(10, 1_200), Allowance(10, 820)
RUNS, ENTRIES = Allowance(5, 250), Allowance(5, 520)
MENTIONS = Allowance(10, 1_900)
"""The oldest first. At least four fit: one more than a decision can answer, so that it shows when some are left."""

QUESTIONS_BY_STATUS: dict[QuestionStatus, Allowance] = {
    "open": Allowance(5, 400),
    "answered": Allowance(10, 1_250),
    "dismissed": Allowance(3, 250),
}
PROPOSALS_BY_STATUS: dict[ApprovalStatus, Allowance] = {"pending": Allowance(5, 400), "rejected": Allowance(5, 860)}

TOPICS, TRENDS, QUESTIONS, INSIGHTS, PROFILE = 120, 380, 250, 250, 80
"""Tokens of each list of what was learned."""

TEXT, NOTE = 250, 100
"""How many tokens of each text are read, and of each journal entry; of a title or a sentence it is a line (`LINE`)."""

COUNTED = 1_000
"""How far new messages are counted."""

DIGESTS = "digest"
"""The board that digests are posted on."""


async def gather(
    session: Session, thread_id: str, *, agent: str, watermark: int, last_seq: int, may_speak: bool, now: datetime
) -> Context:
    """Read the context of messages up to `last_seq`; `watermark` is the newest one the last decision had read."""
    by_status: dict[ApprovalStatus, list[Approval]] = {
        status: await approvals.of_thread(session, thread_id, status, now=now, limit=MAX_PENDING)
        for status in PROPOSALS_BY_STATUS
    }
    proposed = [approval for found in by_status.values() for approval in found]
    digested = await _digested(session, thread_id, proposed)
    said_last = await messages.newest(session, thread_id, MESSAGES.items)
    mentioned = await comments.open_mentions(session, thread_id, MENTIONS.items + len(proposed))
    waiting = [mention for mention in mentioned if not _is_answered(mention, proposed)][: MENTIONS.items]
    commented = await comments.newest(session, thread_id, COMMENTS.items)
    noted = await journal.newest(session, thread_id, ENTRIES.items)
    return Context(
        agent=agent,
        thread_title=_line((await threads.get(session, thread_id)).title),
        mentions=_first(map(_mention, waiting), MENTIONS.tokens),
        last_seq=last_seq,
        new_messages=await said.count(session, thread_id, after=watermark, most=COUNTED),
        messages=_last(map(_said, said_last), MESSAGES.tokens),
        posts=_first(map(_post, await posts.feed(session, thread_id, POSTS.items)), POSTS.tokens),
        comments=_last(map(_comment, commented), COMMENTS.tokens),
        own_runs=_first(map(_run, await runs.decided(session, thread_id, "heartbeat", RUNS.items)), RUNS.tokens),
        own_questions=await _questions(session, thread_id),
        own_proposals=_proposals(by_status),
        may_speak=may_speak,
        undigested=await said.count(session, thread_id, after=digested, most=COUNTED),
        learned=await _learned(session, thread_id),
        journal=_last(map(_entry, noted), ENTRIES.tokens),
    )


async def _digested(session: Session, thread_id: str, proposed: list[Approval]) -> int:
    """The newest message that the last digest had read, whether it was posted, waits, or was rejected."""
    posted = await posts.newest_of_agent(session, thread_id, DIGESTS)
    digests = [approval.run_id for approval in proposed if approval.action.get("board") == DIGESTS]
    digests += [posted.run_id] if posted and posted.run_id else []
    read_to = max([await runs.seen_seq(session, run_id) for run_id in digests], default=0)
    if posted and not read_to:  # its run is no longer kept
        return await messages.received_by(session, thread_id, posted.created_at)
    return read_to


def _is_answered(mention: Mention, proposed: list[Approval]) -> bool:
    """Whether an answer to it waits for a person's approval, or was rejected."""
    target = mention.post_id, mention.comment_id
    comments_of = (one.action for one in proposed if one.action["action"] == "comment")
    return any((comment["post_id"], comment.get("parent_id")) == target for comment in comments_of)


async def _questions(session: Session, thread_id: str) -> list[OwnQuestion]:
    shown: list[OwnQuestion] = []
    for status, allowance in QUESTIONS_BY_STATUS.items():
        found = await questions.newest(session, thread_id, status, allowance.items)
        shown += _first(map(_question, found), allowance.tokens)
    return shown


def _proposals(by_status: dict[ApprovalStatus, list[Approval]]) -> list[OwnProposal]:
    shown: list[OwnProposal] = []
    for status, allowance in PROPOSALS_BY_STATUS.items():
        shown += _first(map(_proposal, by_status[status][: allowance.items]), allowance.tokens)
    return shown


async def _learned(session: Session, thread_id: str) -> Learned:
    scorecard = await scorecards.current(session, thread_id)
    profile = await profiles.current(session, thread_id)
    trends = [changes.sentence(trend) for trend in (*scorecard.rising, *scorecard.fading)]
    return Learned(
        topics=_first(lines([topic.topic for topic in scorecard.topics]), TOPICS),
        trends=_first(lines(trends), TRENDS),
        open_questions=_first(lines([question.question for question in scorecard.open_questions]), QUESTIONS),
        insights=_first(lines([insight.text for insight in scorecard.insights]), INSIGHTS),
        profile=_first(described(profile.words, profile.traits), PROFILE),
    )


def _first(items: Iterable[T], most: int) -> list[T]:
    """As many of the first items as have so many tokens together, commas included; one at least, if there is any."""
    found = list(items)
    sizes = accumulate(json_tokens(item) + 1 for item in found)
    return found[: max(1, sum(size <= most for size in sizes))]


def _last(items: Iterable[T], most: int) -> list[T]:
    """The same of the last items, in their order."""
    return _first([*items][::-1], most)[::-1]


def _text(text: str, most: int = TEXT) -> str:
    return clip(text, most, json_tokens)


def _line(text: str) -> str:
    return _text(text, LINE)


def _mention(mention: Mention) -> Mention:
    return structs.replace(mention, post_title=_line(mention.post_title), content=_text(mention.content))


def _said(message: Message) -> Said:
    return Said(message.seq, message.role, message.origin, _text(message.content), message.created_at)


def _post(post: Post) -> PostSeen:
    own = post.origin == "agent"
    return PostSeen(
        post.id,
        post.board,
        _line(post.title),
        _text(post.content),
        post.author,
        own,
        post.score,
        post.comment_count,
        post.created_at,
    )


def _comment(comment: Comment) -> CommentSeen:
    own = comment.origin == "agent"
    return CommentSeen(
        comment.id, comment.post_id, comment.parent_id, _text(comment.content), comment.author, own, comment.created_at
    )


def _entry(entry: Entry) -> EntrySeen:
    return EntrySeen(entry.kind, entry.author, _line(entry.title), _text(entry.body, NOTE), entry.created_at)


def _question(question: Question) -> OwnQuestion:
    answer = None if question.answer is None else _text(question.answer)
    return OwnQuestion(_text(question.question, NOTE), question.status, answer, question.asked_at)


def _proposal(approval: Approval) -> OwnProposal:
    action, note = approval.action, approval.note
    return OwnProposal(
        action=action["action"],
        post_id=action.get("post_id"),
        parent_id=action.get("parent_id"),
        direction=action.get("direction"),
        text=_text("\n".join(action[name] for name in ("title", "content") if action.get(name)), NOTE),
        status=approval.status,
        note=None if note is None else _text(note),
        proposed_at=approval.proposed_at,
    )


def _run(run: Run) -> OwnRun:
    return OwnRun(run.started_at, run.outcome, _line(run.summary))
