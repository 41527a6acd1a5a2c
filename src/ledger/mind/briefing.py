"""What an application puts in front of its next model call: what is known of person and thread, in few words."""

from msgspec import structs

from ledger.db import Session
from ledger.insights import profiles, scorecards
from ledger.insights.structs import Profile, Scorecard
from ledger.mind.profile import described
from ledger.mind.structs import Briefing
from ledger.mind.texts import one_line
from ledger.posts import store as posts
from ledger.posts.structs import Post
from ledger.threads import store as threads
from ledger.tokens import count_tokens

_POSTS = 5


async def brief(session: Session, thread_id: str, max_tokens: int) -> Briefing:
    """What fits into the budget, the profile first. Raises `NotFound`."""
    await threads.get(session, thread_id)
    profile = await profiles.current(session, thread_id)
    scorecard = await scorecards.current(session, thread_id)
    own = await posts.of_agent(session, thread_id, _POSTS)
    return _within(Briefing(thread_id=thread_id, max_tokens=max_tokens), _lines(profile, scorecard, own))


def _lines(profile: Profile, scorecard: Scorecard, own: list[Post]) -> dict[str, list[str]]:
    return {
        "profile": described(profile.words, profile.traits),
        "topics": [topic.topic for topic in scorecard.topics],
        "open_questions": [f"{each.role}: {one_line(each.question)}" for each in scorecard.open_questions],
        "insights": [one_line(insight.text) for insight in scorecard.insights],
        "posts": [one_line(f"{post.title}: {post.content}") for post in own],
    }


def _within(briefing: Briefing, lines: dict[str, list[str]]) -> Briefing:
    """Take line after line, each part in turn, as long as the text stays within the budget."""
    for part, wanted in lines.items():
        for line in wanted:
            longer = structs.replace(briefing, **{part: [*getattr(briefing, part), line]})
            tokens = count_tokens(longer.text())
            if tokens <= briefing.max_tokens:
                briefing = structs.replace(longer, tokens=tokens)
    return briefing
