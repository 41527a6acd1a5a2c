"""Personality: how the person likes to be spoken to; a revision of the profile for each turn that moved a number."""

from datetime import datetime

import msgspec
from msgspec import Struct, structs

from ledger.db import Session
from ledger.insights import profiles, scorecards
from ledger.insights.structs import Profile
from ledger.journal import store as journal
from ledger.loops.quiet import NOTHING_NEW, Means, Model, Noticed, Read, Reader, beside
from ledger.loops.work import Effects, Record
from ledger.mind import changes, entries, proposals
from ledger.mind.profile import Evidence, gathered, learned, words_of
from ledger.runs.structs import RunDetail
from ledger.turns.structs import LoopName, Turn

_SAME_WORDS = "The numbers moved; the words for them stay."


class Seen(Struct, frozen=True):
    """All a turn starts from."""

    read: Read
    profile: Profile


class Personality(Reader):
    name: LoopName = "personality"
    label = "PERSONALITY"

    async def act(self, turn: Turn, record: Record) -> Effects | None:
        async with self.means.db.read() as session:
            await self.means.require_model(session, record)
            seen = Seen(await self.read(session, turn), await profiles.current(session, turn.thread_id))
        read = seen.read
        if not any(message.origin == "person" for message in read.reading.new):
            record.note(outcome="skipped", reason="nothing_new", summary=NOTHING_NEW)
            return Noticed(read.watermark, read.basis) if read.reading.new else None
        record.decide("rules", seen_seq=read.watermark)
        evidence = await beside(gathered, read.reading.messages, turn.watermark)
        if self.means.model is not None:
            proposed = await self._ask(self.means.model, seen, record)
            named = {each.trait for each in proposed}
            evidence = [each for each in evidence if each.trait not in named] + proposed
        return Learned(self.means, read, evidence, max(message.created_at for message in read.reading.new))

    async def _ask(self, model: Model, seen: Seen, record: Record) -> list[Evidence]:
        """What a model proposes beside what was measured."""
        reading = seen.read.reading
        request = proposals.build_request(model.name, reading, seen.profile.traits, record.run.asked)
        found = await model.asking.ask(request, record, proposals.Proposals, "a list of proposals")
        believed, rejected = proposals.believed(found, reading)
        record.note(decision={"proposals": msgspec.to_builtins(found.proposals), "rejected": rejected})
        return believed


class Learned:
    """Steps of the numbers, applied to the profile as it stands when the turn is settled."""

    def __init__(self, means: Means, read: Read, evidence: list[Evidence], newest_at: datetime) -> None:
        self._means = means
        self._evidence = evidence
        self._newest_at = newest_at
        self.watermark = read.watermark
        self.basis = read.basis

    async def apply(self, session: Session, run: RunDetail) -> RunDetail:
        before = await profiles.current(session, run.thread_id)
        traits = learned(before.traits, self._evidence, self._newest_at)
        after = Profile(
            thread_id=run.thread_id,
            revision=before.revision + 1,
            created_at=run.finished_at,
            run_id=run.id,
            decided_by=run.decided_by,
            traits=traits,
            words=words_of(traits, before.words),
        )
        if (after.traits, after.words) == (before.traits, before.words):
            return structs.replace(run, outcome="nothing", reason="decided_nothing", summary="Nothing has changed.")
        await profiles.add(session, after)
        await self._write_down(session, run, before, after)
        summary = " ".join(changes.of_words(before.words, after.words)) or _SAME_WORDS
        return structs.replace(run, outcome="acted", summary=summary)

    async def _write_down(self, session: Session, run: RunDetail, before: Profile, after: Profile) -> None:
        draft = entries.personality(before, after, await scorecards.current(session, run.thread_id))
        if draft is not None:
            pen, now = self._means.pen, run.finished_at
            await journal.write(session, run.thread_id, draft, pen, run_id=run.id, now=now)
            await self._means.wake(session, run.thread_id)
