"""What a heartbeat reads before it decides: bounded in tokens, however long the history and whatever people write.

Names of authors and boards are shown whole: they are 64 characters at most. All other texts are clipped.
"""

from collections.abc import Iterable
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple, TypeVar

from msgspec import Struct, structs

from ledger.approvals import store as approvals
from ledger.approvals.structs import Approval
from ledger.db import Session
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
from ledger.questions.structs import Question
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


TOKENS = 10_500
"""How many tokens a context has at most, as JSON: the allowances below, and 230 for names, title and counts."""

MESSAGES, POSTS, COMMENTS = Allowance(20, 2_000), Allowance(10, 1_200), Allowance(10, 820)
RUNS, ENTRIES = Allowance(5, 250), Allowance(5, 520)

MENTIONS = Allowance(10, 1_900)
"""The oldest first. At least four fit: one more than a decision can answer, so that it shows when some are left."""

ASKED, ANSWERED, WAITING, REJECTED = Allowance(5, 400), Allowance(5, 820), Allowance(5, 400), Allowance(5, 860)
"""Questions that are open, and those that were closed last; actions that wait, and those that were rejected last."""

TOPICS, TRENDS, QUESTIONS, INSIGHTS, PROFILE = 120, 380, 250, 250, 80
"""Tokens of each list of what was learned."""

TEXT, NOTE = 250, 100
"""How many tokens of each text are read, and of each journal entry; of a title or a sentence it is a line (`LINE`)."""

COUNTED = 1_000
"""How far new messages are counted."""

DIGESTS = "digest"
"""The board that digests are posted on."""


class Said(Struct, frozen=True):
    seq: int
    role: str
    origin: str
    content: str
    created_at: datetime


class PostSeen(Struct, frozen=True):
    id: str
    board: str
    title: str
    content: str
    author: str
    own: bool
    score: int
    comment_count: int
    created_at: datetime


class CommentSeen(Struct, frozen=True):
    id: str
    post_id: str
    parent_id: str | None
    content: str
    author: str
    own: bool
    created_at: datetime


class OwnRun(Struct, frozen=True):
    started_at: datetime
    outcome: str
    summary: str


class EntrySeen(Struct, frozen=True):
    kind: str
    author: str
    title: str
    body: str
    created_at: datetime


class OwnQuestion(Struct, frozen=True):
    """What a heartbeat asked a person."""

    question: str
    status: str
    answer: str | None
    asked_at: datetime


class OwnProposal(Struct, frozen=True):
    """An action that waits for a person's approval, or was rejected."""

    action: str
    target: str | None
    text: str
    status: str
    note: str | None
    """What the person said who rejected it."""
    proposed_at: datetime


class Learned(Struct, frozen=True):
    """What reflection and personality have learned so far."""

    topics: list[str]
    trends: list[str]
    open_questions: list[str]
    insights: list[str]
    profile: list[str]
    """How to write for the person."""


class Context(Struct, frozen=True, kw_only=True):
    """What the thread and the ledger look like now, what waits for an answer first."""

    agent: str
    thread_title: str
    mentions: list[Mention]
    """Where people called the agent and have had no answer, oldest first."""
    last_seq: int
    """The thread's newest message."""
    new_messages: int
    """How many messages of people came since the last decision, counted up to 1,000."""
    messages: list[Said]
    posts: list[PostSeen]
    comments: list[CommentSeen]
    own_runs: list[OwnRun]
    own_questions: list[OwnQuestion] = []
    """What was asked of people: what is open, then what was answered or dismissed last."""
    own_proposals: list[OwnProposal] = []
    """What waits for a person's approval, then what was rejected last."""
    may_speak: bool = False
    """Whether it may say something in the thread itself."""
    undigested: int
    """How many messages of people came since the last digest, counted up to 1,000."""
    learned: Learned
    journal: list[EntrySeen]


async def gather(
    session: Session, thread_id: str, *, agent: str, watermark: int, last_seq: int, may_speak: bool, now: datetime
) -> Context:
    """Read the context of messages up to `last_seq`; `watermark` is the newest one the last decision had read."""
    digest = await posts.newest_of_agent(session, thread_id, DIGESTS)
    digested = await runs.seen_seq(session, digest.run_id) if digest and digest.run_id else 0
    said_last = await messages.newest(session, thread_id, MESSAGES.items)
    waiting = await comments.open_mentions(session, thread_id, MENTIONS.items)
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
        own_proposals=await _proposals(session, thread_id, now),
        may_speak=may_speak,
        undigested=await said.count(session, thread_id, after=digested, most=COUNTED),
        learned=await _learned(session, thread_id),
        journal=_last(map(_entry, noted), ENTRIES.tokens),
    )


async def _questions(session: Session, thread_id: str) -> list[OwnQuestion]:
    asked = await questions.newest(session, thread_id, ASKED.items, is_open=True)
    closed = await questions.newest(session, thread_id, ANSWERED.items, is_open=False)
    return _first(map(_question, asked), ASKED.tokens) + _first(map(_question, closed), ANSWERED.tokens)


async def _proposals(session: Session, thread_id: str, now: datetime) -> list[OwnProposal]:
    waiting = await approvals.of_thread(session, thread_id, "pending", now=now, limit=WAITING.items)
    rejected = await approvals.of_thread(session, thread_id, "rejected", now=now, limit=REJECTED.items)
    return _first(map(_proposal, waiting), WAITING.tokens) + _first(map(_proposal, rejected), REJECTED.tokens)


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
        target=action.get("post_id"),
        text=_text("\n".join(action[name] for name in ("title", "content") if action.get(name)), NOTE),
        status=approval.status,
        note=None if note is None else _text(note),
        proposed_at=approval.proposed_at,
    )


def _run(run: Run) -> OwnRun:
    return OwnRun(run.started_at, run.outcome, _line(run.summary))
