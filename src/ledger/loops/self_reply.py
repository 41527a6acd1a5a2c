"""Self-reply: the agent answers people's comments on its journal, and now and then an entry of its own."""

from datetime import datetime, timedelta

import msgspec
from msgspec import Struct, structs

from ledger.db import Session
from ledger.insights import profiles, scorecards
from ledger.journal import store as journal
from ledger.journal.store import Draft
from ledger.journal.structs import Entry
from ledger.loops.quiet import Means, Model, Noticed, Quiet
from ledger.loops.work import Effects, Facts, Record
from ledger.mind import entries, replies
from ledger.mind.texts import nearest, one_line
from ledger.runs.structs import RunDetail
from ledger.threads import said
from ledger.threads import store as threads
from ledger.threads.said import News
from ledger.turns.structs import LoopName, Turn

HOURLY = 20
"""How many comments of people are answered in a thread and hour."""

ARCHIVE = 100
"""How many of the newest messages are searched for what is nearest to an entry."""

_HOUR = timedelta(hours=1)
_NEAREST = 3
_PATH = 5
_COUNTED = 1_000
_NOTHING = "No entry of the journal waits for an answer."
_UNCHANGED = "Nothing has changed since the entry that waits for an answer."


class Subject(Struct, frozen=True):
    """What a turn may answer, and how the turn is left afterwards."""

    seen: replies.Seen
    watermark: int
    basis: str


class SelfReply(Quiet):
    """Its watermark is the newest own entry considered as of the scorecard that its basis names."""

    name: LoopName = "self_reply"
    label = "JOURNAL_SELF_REPLY"

    def __init__(self, means: Means, *, minimum: timedelta, enabled: bool, every: timedelta) -> None:
        """`minimum` is the least time between two answers of the agent to itself in a thread."""
        super().__init__(means, enabled=enabled, every=every)
        self._minimum = minimum

    async def news(self, session: Session, turn: Turn) -> News | None:
        if not await journal.is_any_waiting(session, turn.thread_id):
            return None
        comment = await journal.waiting_comment(session, turn.thread_id)
        own = await self._next_own(session, turn)
        moments = [await self._due_comment(session, comment)] if comment else []
        moments += [await self._due_own(session, turn, own)] if own else []
        return News(min(moments), moments[0] if comment else None) if moments else None

    def due(self, facts: Facts) -> datetime | None:
        """A comment at once, an own entry one interval after it was written and the minimum after the last answer."""
        if not facts.enabled or facts.news is None:
            return None
        comment = facts.news.enough_at
        # A comment does not wait for an own entry whose answer has failed and is tried again later.
        return comment if comment is not None and comment <= facts.after else facts.news.first_at

    async def act(self, turn: Turn, record: Record) -> Effects | None:
        async with self.means.db.read() as session:
            entry = await self._pick(session, turn, record.run)
            if entry is not None:
                await self.means.require_model(session, record)
            subject = await self._look(session, turn, entry) if entry else None
        if subject is None:
            record.note(outcome="skipped", reason="nothing_new", summary=_NOTHING)
            return None
        record.decide("rules", context=_shown(subject))
        draft = await self._draft(subject, record)
        if draft is None and record.run.decided_by == "rules":
            record.note(outcome="skipped", reason="nothing_new", summary=_UNCHANGED, decided_by=None, context=None)
            return Noticed(subject.watermark, subject.basis)
        return Answered(self.means, subject, draft)

    async def _pick(self, session: Session, turn: Turn, run: RunDetail) -> Entry | None:
        """What is to be answered: a person's comment first, else an own entry; in a run-now also before it is due."""
        comment = await journal.waiting_comment(session, turn.thread_id)
        if comment and await self._due_comment(session, comment) <= run.started_at:
            return comment
        own = await self._next_own(session, turn)
        if own and (run.trigger == "run_now" or await self._due_own(session, turn, own) <= run.started_at):
            return own
        return None

    async def _next_own(self, session: Session, turn: Turn) -> Entry | None:
        """The oldest own entry to consider: with another scorecard than last time, all are considered again."""
        revision = await scorecards.newest_revision(session, turn.thread_id)
        considered = turn.watermark if turn.basis == _basis(revision) else 0
        return await journal.waiting_own(session, turn.thread_id, after=considered)

    async def _due_comment(self, session: Session, comment: Entry) -> datetime:
        nth = await journal.answered_at(session, comment.thread_id, HOURLY)
        return comment.created_at if nth is None else max(comment.created_at, nth + _HOUR)

    async def _due_own(self, session: Session, turn: Turn, own: Entry) -> datetime:
        last = await journal.last_step_at(session, turn.thread_id)
        written = own.created_at + turn.every(self.every)
        return written if last is None else max(written, last + self._minimum)

    async def _look(self, session: Session, turn: Turn, entry: Entry) -> Subject | None:
        state = await threads.state(session, turn.thread_id)
        if state is None:
            return None
        path = await journal.path(session, entry, _PATH)
        root = await journal.get(session, turn.thread_id, entry.root)
        about = next((each for each in (entry, *reversed(path)) if each.origin == "agent"), root)
        then = await scorecards.revision(session, turn.thread_id, max(1, about.scorecard_revision))
        now = await scorecards.current(session, turn.thread_id)
        archive = await said.newest(session, turn.thread_id, ARCHIVE, until=state.message_count)
        count = await said.count(session, turn.thread_id, after=then.last_seq, most=_COUNTED)
        seen = replies.Seen(
            entry=entry,
            path=path,
            about=about,
            then=then,
            now=now,
            words_then=await profiles.words(session, turn.thread_id, about.profile_revision),
            profile=await profiles.current(session, turn.thread_id),
            found=nearest(entry.body, archive, _NEAREST),
            new_messages=_counted(count),
        )
        if entry.origin == "person":
            return Subject(seen, turn.watermark, turn.basis)
        return Subject(seen, entry.seq, _basis(now.revision))

    async def _draft(self, subject: Subject, record: Record) -> Draft | None:
        """What to answer; None for nothing."""
        seen = subject.seen
        if self.means.model is not None:
            return await self._ask(self.means.model, seen, record)
        return entries.reply_to_itself(seen) if seen.entry.origin == "agent" else entries.reply_to_comment(seen)

    async def _ask(self, model: Model, seen: replies.Seen, record: Record) -> Draft | None:
        request = replies.build_request(model.name, self.means.pen.agent, seen, record.run.asked)
        answer = await model.asking.ask(request, record, replies.Answer, "an answer")
        record.note(decision=msgspec.to_builtins(answer))
        cited = [message.id for message in seen.found] or seen.entry.evidence
        if answer.verdict == "nothing":
            return None
        return entries.draft_reply(seen, answer.body, cited)


class Answered:
    """An answer to an entry, or the decision not to answer it."""

    def __init__(self, means: Means, subject: Subject, draft: Draft | None) -> None:
        self._means = means
        self._subject = subject
        self._draft = draft
        self.watermark = subject.watermark
        self.basis = subject.basis

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        answered, draft = self._subject.seen.entry, self._draft
        written = draft and await journal.write(
            session, run.thread_id, draft, self._means.pen, run_id=run.id, now=run.finished_at
        )
        if written is None:
            await journal.put_aside(session, answered)
            return structs.replace(
                run, outcome="nothing", reason="decided_nothing", summary="There was nothing to say."
            )
        summary = f"Answered {answered.author}: {one_line(written.body)}"
        return structs.replace(run, outcome="acted", summary=summary)


def _shown(subject: Subject) -> object:
    seen = subject.seen
    return {
        "entry": seen.entry.id,
        "scorecard_revision": seen.now.revision,
        "profile_revision": seen.profile.revision,
        "messages": [message.id for message in seen.found],
    }


def _basis(revision: int) -> str:
    return f"scorecard {revision}"


def _counted(count: int) -> str:
    if count >= _COUNTED:
        return f"{_COUNTED:,} new messages or more"
    return f"{count} new message{'' if count == 1 else 's'}"
