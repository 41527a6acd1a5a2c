"""Deciding by rules, where no model is configured: answer who called, and sum up when enough is new.

Everything is quoted from the thread, nothing is made up, and the same context gives the same decision.
"""

from collections import Counter
from typing import NamedTuple

from ledger.actions import MAX_ACTIONS, Action, CommentAction, Decision, PostAction
from ledger.heartbeat.context import Context
from ledger.heartbeat.gather import DIGESTS
from ledger.mind.texts import central, nearest, one_line, quote
from ledger.posts.ranking import mentions
from ledger.posts.structs import MAX_TITLE, Mention
from ledger.threads.structs import Message

ARCHIVE = 1_000
"""How many of the newest messages that people said answers are looked for in."""

DIGEST_AT = 10
"""How many undigested messages make a digest."""

_RANKED = 60
_QUOTES = 3
_QUESTION_MARKS = ("?", "\uff1f", "\u061f")  # Latin, full-width, Arabic


class Ruling(NamedTuple):
    decision: Decision
    complete: bool
    """Whether all that waited fitted into the decision; if not, the next turn has something to do."""
    read_to: int
    """The newest message that needs no further look."""


def decide(context: Context, archive: list[Message], *, watermark: int) -> Ruling:
    """Decide. `archive` holds the newest messages, oldest first; those behind `watermark` are new."""
    said = [message for message in archive if message.origin != "agent" and message.role in ("user", "assistant")]
    actions: list[Action] = [_answer_mention(mention, said, context.agent) for mention in context.mentions]
    asked = [message for message in said if message.seq > watermark and _asks(message, context.agent)]
    actions += [_answer_message(message, said, context.agent) for message in asked]
    answers = len(actions)
    if context.undigested >= DIGEST_AT:
        actions.append(_digest(said[-context.undigested :], context.undigested))
    if not actions:
        return Ruling(_nothing(context), complete=True, read_to=context.last_seq)
    taken = actions[:MAX_ACTIONS]
    complete = len(actions) <= MAX_ACTIONS
    answered = asked[: max(0, MAX_ACTIONS - len(context.mentions))]
    read_to = context.last_seq if complete else answered[-1].seq if answered else watermark
    return Ruling(
        Decision(
            verdict="act",
            reasoning=f"{len(context.mentions) + len(asked)} mentions wait for an answer; "
            f"{context.undigested} messages came since the last digest ({DIGEST_AT} make one).",
            summary=_summary(min(answers, MAX_ACTIONS), digest=len(taken) > answers, count=context.undigested),
            actions=taken,
        ),
        complete=complete,
        read_to=read_to,
    )


def _asks(message: Message, agent: str) -> bool:
    return message.origin == "person" and mentions(message.content, agent)


def _answer_mention(mention: Mention, said: list[Message], agent: str) -> CommentAction:
    content = _findings(mention.content, said, agent, f"@{mention.author}")
    return CommentAction(post_id=mention.post_id, content=content, parent_id=mention.comment_id)


def _answer_message(message: Message, said: list[Message], agent: str) -> PostAction:
    earlier = [other for other in said if other.seq < message.seq]
    title = f"Answer to message {message.seq}: {one_line(message.content)}"
    return PostAction(board="general", title=title[:MAX_TITLE], content=_findings(message.content, earlier, agent, ""))


def _findings(question: str, said: list[Message], agent: str, to: str) -> str:
    asked = " ".join(word for word in question.split() if word.lower().strip(".,:;!?") != f"@{agent.lower()}")
    found = nearest(asked, [message for message in said if not mentions(message.content, agent)], _QUOTES)
    if not found:
        said_nothing = f"nothing in the newest {ARCHIVE} messages of this thread shares a word with your question."
        return f"{to} No model is configured, and {said_nothing}".strip()
    opening = f"{to} No model is configured, so this is no opinion: what the thread says nearest to your question."
    return "\n".join([opening.strip(), "", *(quote(message) for message in found)])


def _digest(said: list[Message], count: int) -> PostAction:
    first, last = said[0], said[-1]
    spoken = Counter(message.role for message in said)
    which = "They are" if len(said) == count else f"The newest {len(said)} of them are"
    lines = [
        f"{which} messages {first.seq} to {last.seq}: "
        + " and ".join(f"{n} by {role}" for role, n in sorted(spoken.items()))
        + ".",
        "",
        "What it was about:",
        *(quote(message) for message in central(said[-_RANKED:], _QUOTES)),
    ]
    if waiting := _unanswered(said):
        lines += ["", "Still without an answer:", *(quote(message) for message in waiting)]
    lines += ["", "No model is configured: this digest was put together by rules."]
    title = f"Digest: {count} new messages up to {last.created_at:%Y-%m-%d}"
    return PostAction(board=DIGESTS, title=title, content="\n".join(lines))


def _unanswered(said: list[Message]) -> list[Message]:
    """The questions at the end that nobody of the other role has spoken after."""
    tail: list[Message] = []
    for message in reversed(said):
        if message.role != said[-1].role:
            break
        if message.content.rstrip().endswith(_QUESTION_MARKS):
            tail.append(message)
    return tail[:_QUOTES][::-1]


def _summary(answers: int, *, digest: bool, count: int) -> str:
    parts: list[str] = []
    if answers:
        parts.append(f"answered {answers} mention{'s' if answers > 1 else ''}")
    if digest:
        parts.append(f"posted a digest of {count} messages")
    text = " and ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _nothing(context: Context) -> Decision:
    why = (
        f"No mention waits for an answer, and {context.undigested} messages came since the last digest "
        f"({DIGEST_AT} make one)."
    )
    return Decision(verdict="nothing", reasoning=why, summary=f"Nothing to do: {why[0].lower()}{why[1:]}", actions=[])
