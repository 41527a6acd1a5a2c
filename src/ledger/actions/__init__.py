"""What a heartbeat can do: a closed union. A new action is one struct with `text` and `apply`, and one name here."""

from datetime import datetime
from typing import Literal, cast

import msgspec
from msgspec import Struct, structs

from ledger.actions.checks import Refused, Scene, is_any_alike
from ledger.actions.comment import CommentAction
from ledger.actions.message import MessageAction
from ledger.actions.post import PostAction
from ledger.actions.vote import VoteAction
from ledger.approvals import store as approvals
from ledger.approvals.structs import LIFETIME, MAX_PENDING, Approval
from ledger.budgets import store as budgets
from ledger.budgets.plan import Plan
from ledger.budgets.structs import Amounts
from ledger.db import Session, new_id
from ledger.errors import Conflict
from ledger.runs.structs import ActionResult

Action = PostAction | CommentAction | VoteAction | MessageAction

MAX_ACTIONS = 3
"""How many actions one decision may have."""

MAX_QUESTION = 2_000

WAITS = "It waits for a person's approval."


class TaskReport(Struct, frozen=True):
    """What came of one task that was due."""

    name: str
    report: str
    """One sentence: what was found or done, or that there was nothing to do."""


class Decision(Struct, frozen=True, kw_only=True):
    """What to do now. With the verdict act there are 1 to 3 actions, else none; a question goes with needs_person."""

    verdict: Literal["nothing", "act", "needs_person"]
    reasoning: str
    """Why, for the record."""
    summary: str
    """One sentence for people."""
    actions: list[Action]
    tasks: list[TaskReport] = []
    """One report for each task that was due."""
    question: str | None = None
    """What a person must say first."""
    next_check: int | None = None
    """In how many seconds to look again; null: as usual."""

    def __post_init__(self) -> None:
        asks = bool(self.question and self.question.replace("\x00", "").strip())
        if not asks:
            structs.force_setattr(self, "question", None)
        if len(self.actions) > MAX_ACTIONS:
            raise ValueError(f"{len(self.actions)} actions are too many: at most {MAX_ACTIONS}")
        if self.verdict == "act" and not self.actions:
            raise ValueError("the verdict is act, but there is no action")
        if self.verdict != "act" and self.actions:
            raise ValueError(f"the verdict is {self.verdict}, but there are actions")
        if asks != (self.verdict == "needs_person"):
            raise ValueError(f"the verdict is {self.verdict}, but there is {'a' if asks else 'no'} question")
        if self.question is not None and len(self.question) > MAX_QUESTION:
            raise ValueError(f"the question has {len(self.question):,} characters: at most {MAX_QUESTION:,}")


async def apply(session: Session, scene: Scene, actions: list[Action], *, first: int = 0) -> list[ActionResult]:
    """Apply what passes its checks, in order, within the budget, and say of each action what became of it.

    What is to be approved waits. `first`: the ordinal of the first one in its run. The thread is locked.
    """
    # A message is said in the place of all else.
    speaks = scene.may_speak and not any(isinstance(action, MessageAction) for action in actions)
    scene = structs.replace(scene, speaks=speaks)
    purse = await budgets.lock_actions(session, scene.thread_id, scene.plan, now=scene.now)
    results: list[ActionResult] = []
    done = 0
    for ordinal, action in enumerate(actions, first):
        try:
            if _is_held(action, scene):
                results.append(await _propose(session, scene, action, ordinal))
                continue
            purse.require_actions(done + 1)
            results.append(await action.apply(session, scene, ordinal))
            done += 1
        except (Refused, budgets.Spent) as refusal:
            results.append(_refused(action, str(refusal)))
    if done:
        await budgets.add(session, purse, Amounts(actions=done))
    return results


async def rehearse(session: Session, scene: Scene, actions: list[Action]) -> list[ActionResult]:
    """Say what would become of each action, and leave nothing behind."""
    async with session.undone():
        results = await apply(session, scene, actions)
    return [_without_ids(structs.replace(result, dry_run=True)) for result in results]


def _is_held(action: Action, scene: Scene) -> bool:
    return scene.policy == "all" or (scene.policy == "posts" and bool(action.text))


async def _propose(session: Session, scene: Scene, action: Action, ordinal: int) -> ActionResult:
    """Have an action wait for a person, if it could be applied now."""
    pending = await approvals.of_thread(session, scene.thread_id, "pending", now=scene.now, limit=MAX_PENDING)
    if len(pending) >= MAX_PENDING:
        raise Refused(f"{MAX_PENDING} actions wait for a person's approval already.")
    waiting = [_proposed(approval) for approval in pending]
    if any(_is_same(action, other) for other in waiting):
        raise Refused("Nearly the same waits for a person's approval already.")
    async with session.undone():
        result = await action.apply(session, scene, ordinal)
    approval = Approval(
        id=new_id(),
        thread_id=scene.thread_id,
        run_id=scene.run_id,
        ordinal=ordinal,
        action=msgspec.to_builtins(action),
        speaks=isinstance(action, MessageAction) or (scene.speaks and bool(action.text)),
        status="pending",
        proposed_at=scene.now,
        expires_at=scene.now + LIFETIME,
        closed_at=None,
        note=None,
        result=None,
    )
    await approvals.add(session, approval)
    return structs.replace(_without_ids(result), success=False, approval_id=approval.id, error=WAITS)


async def approve(session: Session, approval_id: str, *, agent: str, plan: Plan, now: datetime) -> Approval:
    """Apply an action that waits, checked again. Raises `NotFound`, and `Conflict` where it cannot be applied now."""
    approval = await approvals.open_to(session, approval_id, now=now)
    scene = Scene(
        thread_id=approval.thread_id,
        run_id=approval.run_id,
        agent=agent,
        now=now,
        plan=plan,
        may_speak=approval.speaks,
    )
    (result,) = await apply(session, scene, [_proposed(approval)], first=approval.ordinal)
    if result.error is not None:
        raise Conflict(f"The action cannot be applied now: {result.error}")
    return await approvals.approve(session, approval, result, now=now)


def _proposed(approval: Approval) -> Action:
    """The action that waits for an approval."""
    return msgspec.convert(approval.action, cast("type[Action]", Action))


def _is_same(one: Action, other: Action) -> bool:
    """Whether two actions answer the same, vote on the same, or say nearly the same."""
    if one.kind != other.kind:
        return False
    if isinstance(one, PostAction | MessageAction):
        return is_any_alike(one.text, [other.text])
    return _target(one) == _target(other)


def _target(action: Action) -> tuple[str | None, str | None]:
    return getattr(action, "post_id", None), getattr(action, "parent_id", None)


def _without_ids(result: ActionResult) -> ActionResult:
    """Without the ids of what was never written."""
    post_id = None if result.action == PostAction.kind else result.post_id
    return structs.replace(result, post_id=post_id, comment_id=None, message_id=None, approval_id=None)


def _refused(action: Action, why: str) -> ActionResult:
    return ActionResult(
        action=action.kind,
        success=False,
        post_id=getattr(action, "post_id", None),
        title=getattr(action, "title", None),
        direction=getattr(action, "direction", None),
        error=why,
    )
