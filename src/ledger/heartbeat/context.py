"""What a heartbeat reads before it decides: bounded in size, however long the history is."""

from datetime import datetime

from msgspec import Struct, structs

from ledger.approvals import store as approvals
from ledger.approvals.structs import Approval
from ledger.db import Session
from ledger.insights import profiles, scorecards
from ledger.journal import store as journal
from ledger.journal.structs import Entry
from ledger.mind import changes
from ledger.mind.profile import described
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

MESSAGES, POSTS, COMMENTS, MENTIONS, RUNS, ENTRIES, OWN = 20, 10, 10, 10, 5, 5, 5
"""How many of each are read, the newest."""

COUNTED = 1_000
"""How far new messages are counted."""

TEXT = 1_000
"""How many characters of each text are read."""

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
    return Context(
        agent=agent,
        thread_title=(await threads.get(session, thread_id)).title,
        mentions=[_clipped(mention) for mention in await comments.open_mentions(session, thread_id, MENTIONS)],
        last_seq=last_seq,
        new_messages=await said.count(session, thread_id, after=watermark, most=COUNTED),
        messages=[_said(message) for message in await messages.newest(session, thread_id, MESSAGES)],
        posts=[_post(post) for post in await posts.feed(session, thread_id, POSTS)],
        comments=[_comment(comment) for comment in await comments.newest(session, thread_id, COMMENTS)],
        own_runs=[_run(run) for run in await runs.decided(session, thread_id, "heartbeat", RUNS)],
        own_questions=await _questions(session, thread_id),
        own_proposals=await _proposals(session, thread_id, now),
        may_speak=may_speak,
        undigested=await said.count(session, thread_id, after=digested, most=COUNTED),
        learned=await _learned(session, thread_id),
        journal=[_entry(entry) for entry in await journal.newest(session, thread_id, ENTRIES)],
    )


async def _questions(session: Session, thread_id: str) -> list[OwnQuestion]:
    found = [
        question
        for is_open in (True, False)
        for question in await questions.newest(session, thread_id, OWN, is_open=is_open)
    ]
    return [_question(question) for question in found]


async def _proposals(session: Session, thread_id: str, now: datetime) -> list[OwnProposal]:
    waiting = await approvals.of_thread(session, thread_id, "pending", now=now, limit=OWN)
    rejected = await approvals.of_thread(session, thread_id, "rejected", now=now, limit=OWN)
    return [_proposal(approval) for approval in (*waiting, *rejected)]


async def _learned(session: Session, thread_id: str) -> Learned:
    scorecard = await scorecards.current(session, thread_id)
    profile = await profiles.current(session, thread_id)
    return Learned(
        topics=[topic.topic for topic in scorecard.topics],
        trends=[changes.sentence(trend) for trend in (*scorecard.rising, *scorecard.fading)],
        open_questions=[_clip(question.question) for question in scorecard.open_questions],
        insights=[insight.text for insight in scorecard.insights],
        profile=described(profile.words, profile.traits),
    )


def _clip(text: str) -> str:
    return text if len(text) <= TEXT else text[: TEXT - 1] + "…"


def _clipped(mention: Mention) -> Mention:
    return structs.replace(mention, content=_clip(mention.content))


def _said(message: Message) -> Said:
    return Said(message.seq, message.role, message.origin, _clip(message.content), message.created_at)


def _post(post: Post) -> PostSeen:
    own = post.origin == "agent"
    return PostSeen(
        post.id,
        post.board,
        post.title,
        _clip(post.content),
        post.author,
        own,
        post.score,
        post.comment_count,
        post.created_at,
    )


def _comment(comment: Comment) -> CommentSeen:
    own = comment.origin == "agent"
    return CommentSeen(
        comment.id, comment.post_id, comment.parent_id, _clip(comment.content), comment.author, own, comment.created_at
    )


def _entry(entry: Entry) -> EntrySeen:
    return EntrySeen(entry.kind, entry.author, entry.title, _clip(entry.body), entry.created_at)


def _question(question: Question) -> OwnQuestion:
    answer = None if question.answer is None else _clip(question.answer)
    return OwnQuestion(_clip(question.question), question.status, answer, question.asked_at)


def _proposal(approval: Approval) -> OwnProposal:
    action, note = approval.action, approval.note
    return OwnProposal(
        action=action["action"],
        target=action.get("post_id"),
        text=_clip("\n".join(action[name] for name in ("title", "content") if action.get(name))),
        status=approval.status,
        note=None if note is None else _clip(note),
        proposed_at=approval.proposed_at,
    )


def _run(run: Run) -> OwnRun:
    return OwnRun(run.started_at, run.outcome, _clip(run.summary))
