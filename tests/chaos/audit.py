"""What a database must hold after any history of crashes: every slot settled once, every effect there once."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct, field
from sqlalchemy import ColumnElement, func, select

from ledger.budgets.tables import ServiceSpendingRow, ThreadSpendingRow
from ledger.columns import columns
from ledger.db import Database, Session
from ledger.insights import profiles, scorecards
from ledger.insights.tables import ProfileRow, ScorecardRow
from ledger.journal.tables import EntryRow
from ledger.mind.topics import Tally
from ledger.posts.tables import CommentRow, PostRow, VoteRow
from ledger.runs.structs import Run
from ledger.runs.tables import RunRow
from ledger.threads.tables import MessageRow
from ledger.turns.structs import Turn
from ledger.turns.tables import TurnRow


class Effect(Struct, frozen=True):
    """A row that an action left."""

    kind: str
    key: str
    run_id: str | None
    ordinal: int | None


class Report(Struct):
    turns: int = 0
    """Runs recorded."""
    outcomes: Counter[str] = field(default_factory=Counter[str])
    settled: int = 0
    """Slots covered by settled runs."""
    collapsed: int = 0
    """Slots settled together with an earlier one."""
    effects: int = 0
    learned: int = 0
    """Messages that reflection and personality counted, each loop for itself."""
    lost: list[str] = []
    doubled: list[str] = []
    wrong: list[str] = []


async def audit(db: Database, every: timedelta, *, served_until: datetime) -> Report:
    """Look at all heartbeats; each thread must have settled its slots up to `served_until`."""
    async with db.read() as session:
        turns = await session.all(select(*columns(TurnRow, Turn)).where(TurnRow.loop == "heartbeat"), Turn)
        found = await session.all(select(*columns(RunRow, Run)).where(RunRow.loop == "heartbeat"), Run)
        agent_posts = select(PostRow.id, PostRow.run_id, PostRow.ordinal).where(PostRow.origin == "agent")
        agent_comments = select(CommentRow.id, CommentRow.run_id, CommentRow.ordinal).where(
            CommentRow.origin == "agent"
        )
        agent_votes = select(VoteRow.post_id, VoteRow.run_id, VoteRow.ordinal).where(VoteRow.run_id.is_not(None))
        effects = [
            Effect(kind, *row)
            for kind, statement in (("post", agent_posts), ("comment", agent_comments), ("vote", agent_votes))
            for row in (await session.execute(statement)).all()
        ]
    report = Report(turns=len(found), outcomes=Counter(run.reason or run.outcome for run in found))
    report.effects = len(effects)
    _check_effects(report, found, effects)
    by_thread: defaultdict[str, list[Run]] = defaultdict(list)
    for run in sorted(found, key=lambda run: (run.first_slot or run.started_at, run.started_at)):
        by_thread[run.thread_id].append(run)
    for turn in turns:
        if turn.every_seconds is not None:
            _check_slots(report, turn, [run for run in by_thread[turn.thread_id] if run.slots], every)
            _check_turn(report, turn, served_until)
    return report


async def audit_learning(db: Database, report: Report) -> None:
    """Look at what the quiet loops learned: every message they have passed was counted once, by runs that are there."""
    async with db.read() as session:
        turns = await session.all(select(*columns(TurnRow, Turn)), Turn)
        acted = set(await session.scalars(select(RunRow.id).where(RunRow.outcome == "acted")))
        for turn in turns:
            if turn.loop == "reflection":
                tally = msgspec.json.decode(await scorecards.tally(session, turn.thread_id) or "{}", type=Tally)
                _check_count(
                    report, turn, tally.messages.total, await _said(session, turn, MessageRow.origin != "agent")
                )
                numbers = select(ScorecardRow.revision).where(ScorecardRow.thread_id == turn.thread_id)
            elif turn.loop == "personality":
                traits = (await profiles.current(session, turn.thread_id)).traits
                counted = traits["questions"].evidence_count if traits else 0
                _check_count(report, turn, counted, await _said(session, turn, MessageRow.origin == "person"))
                numbers = select(ProfileRow.revision).where(ProfileRow.thread_id == turn.thread_id)
            else:
                continue
            revisions = sorted(await session.scalars(numbers))
            if revisions != list(range(1, len(revisions) + 1)):
                report.wrong.append(f"{turn.loop} of {turn.thread_id} has the revisions {revisions}")
        written = set(await session.scalars(select(EntryRow.run_id).where(EntryRow.run_id.is_not(None))))
        written |= set(await session.scalars(select(ScorecardRow.run_id)))
        report.wrong += [f"run {run_id} wrote, and is not there" for run_id in written - acted]


async def audit_spending(db: Database, report: Report, calls: int) -> None:
    """What was spent: no call that reached the provider is free, every action is counted once, and the sums agree."""
    async with db.read() as session:
        sums: list[Spent] = []
        for row in (ThreadSpendingRow, ServiceSpendingRow):
            total = [func.coalesce(func.sum(getattr(row, name)), 0).label(name) for name in ("calls", "actions")]
            sums += await session.all(select(*total), Spent)
        acted = select(RunRow.actions).where(RunRow.outcome == "acted")
        done = sum(result.success for actions in await session.scalars(acted) for result in actions)
    threads, service = sums
    if threads != service:
        report.wrong.append(f"the threads spent {threads}, but the service {service}")
    if service.calls < calls:
        report.lost.append(f"{calls - service.calls} of {calls} calls, which were not counted")
    if service.actions != done:
        report.wrong.append(f"{done} actions were done, and {service.actions} counted")


async def audit_kept(db: Database, report: Report, said: Iterable[str] = ()) -> None:
    """What people were told is kept is there (`said`: ids of messages), and no call was posted twice."""
    async with db.read() as session:
        kept = set(await session.scalars(select(MessageRow.id)))
        titles = Counter(await session.scalars(select(PostRow.title).where(PostRow.origin == "agent")))
    report.lost += [f"message {message}" for message in set(said) - kept]
    report.doubled += [f"post {title!r}" for title, n in titles.items() if n > 1]


class Spent(Struct, frozen=True):
    calls: int
    actions: int


async def _said(session: Session, turn: Turn, where: ColumnElement[bool]) -> int:
    read = (MessageRow.thread_id == turn.thread_id, MessageRow.seq <= turn.watermark, where)
    return await session.scalar(select(func.count()).select_from(MessageRow).where(*read)) or 0


def _check_count(report: Report, turn: Turn, counted: int, said: int) -> None:
    report.learned += counted
    if counted < said:
        report.lost.append(f"{said - counted} messages of {turn.thread_id} for {turn.loop}")
    if counted > said:
        report.doubled.append(f"{counted - said} messages of {turn.thread_id} for {turn.loop}")


def _check_slots(report: Report, turn: Turn, settled: list[Run], every: timedelta) -> None:
    """The settled runs tile the slots from the first one to the one before the slot owed."""
    expected = 1
    for run in settled:
        assert run.first_slot is not None
        assert run.last_slot is not None
        first, first_rest = divmod(run.first_slot - turn.anchor_at, every)
        last, last_rest = divmod(run.last_slot - turn.anchor_at, every)
        if first_rest or last_rest or run.slots != last - first + 1:
            report.wrong.append(f"run {run.id}: {run.slots} slots from {run.first_slot} to {run.last_slot}")
        report.lost += [f"slot {n} of {turn.thread_id}" for n in range(expected, first)]
        report.doubled += [f"slot {n} of {turn.thread_id}" for n in range(first, min(expected, last + 1))]
        report.settled += run.slots
        report.collapsed += run.slots - 1
        expected = last + 1
    if turn.slot != turn.anchor_at + expected * every:
        report.wrong.append(f"{turn.thread_id} owes {turn.slot}, not slot {expected}")


def _check_turn(report: Report, turn: Turn, served_until: datetime) -> None:
    if turn.lease_token is not None:
        report.wrong.append(f"{turn.thread_id} is leased until {turn.lease_until}")
    if turn.slot is None or turn.slot <= served_until:
        report.wrong.append(f"{turn.thread_id} still owes {turn.slot}, tried next {turn.next_due_at}")


def _check_effects(report: Report, found: list[Run], effects: list[Effect]) -> None:
    """Every effect is named by its run, and every action has its effect; of votes on one post the last one counts."""
    named: dict[tuple[str, str], tuple[str, int]] = {}
    for run in sorted(found, key=lambda run: run.finished_at):
        for ordinal, action in enumerate(run.actions):
            if action.success:
                key = action.comment_id if action.action == "comment" else action.post_id
                before = named.get((action.action, key or ""))
                if before is not None and action.action != "vote":
                    report.doubled.append(f"{action.action} {key} of the runs {before[0]} and {run.id}")
                named[action.action, key or ""] = (run.id, ordinal)
    for effect in effects:
        if named.pop((effect.kind, effect.key), None) != (effect.run_id, effect.ordinal):
            report.doubled.append(f"{effect.kind} {effect.key} is not what its run {effect.run_id} did")
    report.lost += [f"{kind} {key} of run {run_id}" for (kind, key), (run_id, _) in named.items()]
    places = Counter((effect.run_id, effect.ordinal) for effect in effects)
    report.doubled += [f"action {ordinal} of run {run_id}" for (run_id, ordinal), n in places.items() if n > 1]
