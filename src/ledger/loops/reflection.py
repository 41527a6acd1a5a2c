"""Reflection: what a thread is about, what rises and fades, what is open; a scorecard and an entry for each change."""

import msgspec
from msgspec import Struct, structs

from ledger import actions
from ledger.actions import PostAction
from ledger.actions.checks import Scene
from ledger.db import Session
from ledger.heartbeat import config as configs
from ledger.insights import profiles, scorecards
from ledger.insights.structs import TRAITS, Profile, Scorecard
from ledger.journal import settings as journal_settings
from ledger.journal import store as journal
from ledger.journal.structs import Entry
from ledger.loops.quiet import NOTHING_NEW, Means, Model, Read, Reader, beside
from ledger.loops.work import Record
from ledger.mind import changes, entries, findings, scoring
from ledger.runs.structs import RunDetail
from ledger.threads import said
from ledger.turns.structs import LoopName, Turn

BOARD = "reflections"

_SUMMARY = 500


class Seen(Struct, frozen=True):
    """All a reflection starts from."""

    read: Read
    scorecard: Scorecard
    profile: Profile
    tally: str | None


class Reflection(Reader):
    name: LoopName = "reflection"
    label = "REFLECTION"

    async def act(self, turn: Turn, record: Record) -> "Reflected | None":
        async with self.means.db.read() as session:
            await self.means.require_model(session, record)
            seen = Seen(
                await self.read(session, turn),
                await scorecards.current(session, turn.thread_id),
                await profiles.current(session, turn.thread_id),
                await scorecards.tally(session, turn.thread_id),
            )
        if not seen.read.reading.new:
            record.note(outcome="skipped", reason="nothing_new", summary=NOTHING_NEW)
            return None
        record.decide("rules", seen_seq=seen.read.watermark)
        counted = await beside(scoring.count, seen.tally, seen.scorecard, seen.read.reading)
        scorecard = await self._score(turn, seen, counted)
        if self.means.model is not None:
            scorecard = await self._ask(self.means.model, seen, scorecard, record)
        return Reflected(self.means, seen, scorecard, counted.tally)

    async def _score(self, turn: Turn, seen: Seen, counted: scoring.Counted) -> Scorecard:
        """The scorecard by statistics."""
        async with self.means.db.read() as session:
            ids = await said.ids(session, turn.thread_id, counted.seqs)
        before, messages = seen.scorecard, seen.read.reading.messages
        rising, fading = scoring.trends_of(counted.rising, ids), scoring.trends_of(counted.fading, ids)
        confidence = sum(trait.confidence for trait in seen.profile.traits.values()) / len(TRAITS)
        return Scorecard(
            thread_id=turn.thread_id,
            revision=before.revision + 1,
            first_seq=messages[0].seq,
            last_seq=seen.read.watermark,
            messages=len(messages),
            topics=counted.topics,
            rising=rising,
            fading=fading,
            open_questions=counted.open_questions,
            insights=scoring.insights_of(rising, fading),
            preference_confidence=round(confidence, 4),
            importance=scoring.importance(before, counted.novelty, rising),
        )

    async def _ask(self, model: Model, seen: Seen, scorecard: Scorecard, record: Record) -> Scorecard:
        """What a model adds: insights, and which questions are open."""
        before, messages = seen.scorecard, seen.read.reading.messages
        request = findings.build_request(model.name, seen.read.reading, before, record.run.asked)
        found = await model.asking.ask(request, record, findings.Findings, "a list of insights")
        new, rejected = findings.believed(found, messages, before)
        record.note(decision={"findings": msgspec.to_builtins(found), "rejected": rejected})
        return structs.replace(
            scorecard,
            decided_by="model",
            insights=[*new, *before.insights][: findings.MOST],
            open_questions=findings.open_now(found, messages, before),
            importance=max((insight.importance for insight in new), default=1),
        )


class Reflected:
    """What a reflection leaves when its turn is settled."""

    def __init__(self, means: Means, seen: Seen, scorecard: Scorecard, tally: str) -> None:
        self._means = means
        self._seen = seen
        self._scorecard = scorecard
        self._tally = tally
        self.watermark = seen.read.watermark
        self.basis = seen.read.basis

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        before = self._seen.scorecard
        scorecard = structs.replace(self._scorecard, created_at=run.finished_at, run_id=run.id)
        await scorecards.keep_tally(session, run.thread_id, self._tally)
        if _content(scorecard) == _content(before):
            return structs.replace(run, outcome="nothing", reason="decided_nothing", summary="Nothing has changed.")
        await scorecards.add(session, scorecard)
        draft = entries.reflection(before, scorecard, self._seen.profile)
        entry = draft and await journal.write(
            session, run.thread_id, draft, self._means.pen, run_id=run.id, now=run.finished_at
        )
        if entry:
            run = await self._post(session, run, entry, scorecard)
        await self._means.wake(session, run.thread_id)
        summary = " ".join(changes.between(before, scorecard)) or "The topics are the same, only their counts changed."
        return structs.replace(run, outcome="acted", summary=summary[:_SUMMARY])

    async def _post(self, session: Session, run: RunDetail, entry: Entry, scorecard: Scorecard) -> RunDetail:
        """Post the entry on the ledger, where the thread wants that."""
        when = await journal_settings.posts_when(session, run.thread_id)
        if when == "never" or (when == "trends" and not changes.turns(self._seen.scorecard, scorecard)):
            return run
        scene = Scene(
            thread_id=run.thread_id,
            run_id=run.id,
            agent=self._means.pen.agent,
            now=run.finished_at,
            plan=self._means.plan,
            policy=await configs.policy(session, run.thread_id),
        )
        post = PostAction(board=BOARD, title=entry.title, content=entry.body)
        return structs.replace(run, actions=await actions.apply(session, scene, [post]))


def _content(scorecard: Scorecard) -> Scorecard:
    """A scorecard without what is different in every reflection, or comes from elsewhere."""
    return structs.replace(
        scorecard,
        revision=0,
        created_at=None,
        run_id=None,
        first_seq=0,
        last_seq=0,
        messages=0,
        decided_by="rules",
        preference_confidence=0.0,
    )
