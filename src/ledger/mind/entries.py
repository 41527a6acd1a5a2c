"""What the agent writes in its journal without a model: sentences made of what has been counted, nothing made up."""

from datetime import datetime

from ledger.insights.structs import Profile, Scorecard
from ledger.journal.store import Draft
from ledger.journal.structs import MAX_BODY, MAX_TITLE, Entry
from ledger.mind import changes
from ledger.mind.profile import described
from ledger.mind.replies import Seen
from ledger.mind.texts import one_line, quote

BY_STATISTICS = "No model is configured: this was counted, not understood."


def reflection(before: Scorecard, after: Scorecard, profile: Profile) -> Draft | None:
    """An entry on how the talk has changed; None if it is about the same as before."""
    said = changes.between(before, after)
    if not said:
        return None
    about = ", ".join(changes.leading(after)[:3])
    lines = [f"On messages {after.first_seq} to {after.last_seq}.", "", *(f"- {sentence}" for sentence in said)]
    if after.decided_by == "rules":
        lines += ["", BY_STATISTICS]
    return Draft(
        kind="reflection",
        title=(f"On {about}" if about else "On the last messages")[:MAX_TITLE],
        body=_fitting(lines),
        evidence=changes.evidence(after),
        scorecard_revision=after.revision,
        profile_revision=profile.revision,
    )


def personality(before: Profile, after: Profile, scorecard: Scorecard) -> Draft | None:
    """An entry on what is newly known of how the person writes; None if no word for it has changed."""
    said = changes.of_words(before.words, after.words)
    if not said:
        return None
    lines = [*(f"- {sentence}" for sentence in said), "", "So I write for them like this:"]
    lines += [f"- {line}" for line in described(after.words, after.traits)]
    if after.decided_by == "rules":
        lines += ["", BY_STATISTICS]
    cited = [each for trait in after.traits.values() for each in trait.evidence[:2]]
    return Draft(
        kind="personality",
        title="How they like to be spoken to",
        body=_fitting([f"As of revision {after.revision} of the profile.", "", *lines]),
        evidence=list(dict.fromkeys(cited))[:10],
        scorecard_revision=scorecard.revision,
        profile_revision=after.revision,
    )


def reply_to_itself(seen: Seen) -> Draft | None:
    """What has changed since an entry of the agent's own; None if nothing has."""
    if not seen.changed:
        return None
    lines = [
        f"Since {_named(seen.entry)}, {seen.new_messages} came.",
        "",
        *(f"- {sentence}" for sentence in seen.changed),
        "",
        *_standing(seen.now, seen.profile),
        "",
        BY_STATISTICS,
    ]
    return draft_reply(seen, _fitting(lines), changes.evidence(seen.now))


def reply_to_comment(seen: Seen) -> Draft:
    """What there is to say to a person's comment on an entry: what it rests on, what has changed, what was said."""
    to, about = one_line(seen.entry.author), _named(seen.about)
    lines = [f"@{to} No model is configured, so this is no opinion, only what I have on {about}."]
    if seen.changed:
        lines += ["", "What has changed since:", *(f"- {sentence}" for sentence in seen.changed)]
    if seen.found:
        lines += ["", "What was said nearest to your words:", *map(quote, seen.found)]
    lines += ["", *_standing(seen.now, seen.profile)]
    return draft_reply(seen, _fitting(lines), [message.id for message in seen.found] or changes.evidence(seen.now))


def draft_reply(seen: Seen, body: str, cited: list[str]) -> Draft:
    """An answer to an entry; it names the entry, and the scorecard and profile it was written with."""
    about = seen.entry.title.removeprefix("Re: ") or one_line(seen.entry.body)
    return Draft(
        kind="self_reply",
        title=f"Re: {about}"[:MAX_TITLE],
        body=body,
        evidence=cited,
        scorecard_revision=seen.now.revision,
        profile_revision=seen.profile.revision,
        answers=seen.entry,
    )


def _standing(scorecard: Scorecard, profile: Profile) -> list[str]:
    lines: list[str] = []
    if topics := changes.leading(scorecard):
        lines.append(f"Scorecard {scorecard.revision}: the talk is about {', '.join(topics)}.")
    if style := described(profile.words, profile.traits):
        lines.append(f"Profile {profile.revision}: {' '.join(style)}")
    return lines


def _named(entry: Entry) -> str:
    return f"“{entry.title or one_line(entry.body)}” ({_day(entry.created_at)})"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _fitting(lines: list[str]) -> str:
    text = "\n".join(lines)
    return text if len(text) <= MAX_BODY else text[: MAX_BODY - 1] + "…"
