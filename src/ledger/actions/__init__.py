"""What a heartbeat can do to the ledger: a closed union. A new action is one struct with `apply`, and one name here."""

from typing import Literal

from msgspec import Struct, structs

from ledger.actions.checks import Refused, Scene
from ledger.actions.comment import CommentAction
from ledger.actions.post import PostAction
from ledger.actions.vote import VoteAction
from ledger.db import Session
from ledger.runs.structs import ActionResult

Action = PostAction | CommentAction | VoteAction

MAX_ACTIONS = 3
"""How many actions one decision may have."""


class TaskReport(Struct, frozen=True):
    """What came of one task that was due."""

    name: str
    report: str
    """One sentence: what was found or done, or that there was nothing to do."""


class Decision(Struct, frozen=True, kw_only=True):
    """What to do now. With the verdict nothing the list of actions is empty; with act it holds 1 to 3 actions."""

    verdict: Literal["nothing", "act"]
    reasoning: str
    """Why, for the record."""
    summary: str
    """One sentence for people."""
    actions: list[Action]
    tasks: list[TaskReport] = []
    """One report for each task that was due."""

    def __post_init__(self) -> None:
        if len(self.actions) > MAX_ACTIONS:
            raise ValueError(f"{len(self.actions)} actions are too many: at most {MAX_ACTIONS}")
        if self.verdict == "act" and not self.actions:
            raise ValueError("the verdict is act, but there is no action")
        if self.verdict == "nothing" and self.actions:
            raise ValueError("the verdict is nothing, but there are actions")


async def apply(session: Session, scene: Scene, actions: list[Action]) -> list[ActionResult]:
    """Apply what passes its checks, in order, and say of each action what became of it."""
    results: list[ActionResult] = []
    for ordinal, action in enumerate(actions):
        try:
            results.append(await action.apply(session, scene, ordinal))
        except Refused as refusal:
            results.append(_refused(action, str(refusal)))
    return results


async def rehearse(session: Session, scene: Scene, actions: list[Action]) -> list[ActionResult]:
    """Say what would become of each action, and leave nothing behind."""
    async with session.undone():
        results = await apply(session, scene, actions)
    return [_rehearsed(result) for result in results]


def _rehearsed(result: ActionResult) -> ActionResult:
    """Without the ids of what was never written."""
    post_id = None if result.action == PostAction.kind else result.post_id
    return structs.replace(result, dry_run=True, post_id=post_id, comment_id=None)


def _refused(action: Action, why: str) -> ActionResult:
    return ActionResult(
        action=action.kind,
        success=False,
        post_id=getattr(action, "post_id", None),
        title=getattr(action, "title", None),
        direction=getattr(action, "direction", None),
        error=why,
    )
