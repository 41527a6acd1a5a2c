"""Threads, messages, posts and journal."""

from ledger.openapi.examples import ids
from ledger.openapi.examples.ids import Json

_SAID = (
    ("user", "person", "Shall we go camping in May?"),
    ("assistant", "app", "The lake is lovely then. Shall I look for a camp site?"),
    ("user", "person", "Yes please! A short list, no long texts. Somewhere by the lake would be great :)"),
)

_MESSAGES: list[Json] = [
    {
        "id": ids.MESSAGES[at],
        "seq": at + 1,
        "role": role,
        "origin": origin,
        "content": content,
        "created_at": ids.SAID[at],
        "received_at": ids.RECEIVED,
        "run_id": None,
    }
    for at, (role, origin, content) in enumerate(_SAID)
]

_POST: Json = {
    "id": ids.POST,
    "thread_id": ids.THREAD,
    "board": "general",
    "title": "When?",
    "content": ids.ASKED,
    "author": "ann",
    "origin": "person",
    "run_id": None,
    "score": 1,
    "hot": 14185.1443778,
    "comment_count": 1,
    "created_at": ids.POSTED,
    "edited_at": None,
    "removed_at": None,
    "mentions_agent": True,
}

_COMMENT: Json = {
    "id": ids.COMMENT,
    "post_id": ids.POST,
    "thread_id": ids.THREAD,
    "parent_id": None,
    "content": ids.ANSWERED,
    "author": "ledger",
    "origin": "agent",
    "run_id": ids.HEARTBEAT_RUN,
    "created_at": ids.ENDED,
    "edited_at": None,
    "removed_at": None,
    "mentions_agent": False,
}

_ENTRY: Json = {
    "id": ids.ENTRY,
    "thread_id": ids.THREAD,
    "seq": 1,
    "kind": "reflection",
    "author": "ledger",
    "origin": "agent",
    "title": "On camping, lake",
    "body": "On messages 1 to 3.\n\n- The talk has come to camping (3 messages) and lake (2 messages).",
    "reply_to": None,
    "root": ids.ENTRY,
    "depth": 0,
    "steps": 0,
    "evidence": [ids.MESSAGES[2], ids.MESSAGES[1]],
    "scorecard_revision": 1,
    "profile_revision": 0,
    "run_id": ids.REFLECTION_RUN,
    "created_at": ids.ENDED,
}

_REPLY: Json = {
    "id": ids.REPLY,
    "thread_id": ids.THREAD,
    "seq": 2,
    "kind": "comment",
    "author": "ann",
    "origin": "person",
    "title": "",
    "body": "We prefer the second week.",
    "reply_to": ids.ENTRY,
    "root": ids.ENTRY,
    "depth": 1,
    "steps": 0,
    "evidence": [],
    "scorecard_revision": 0,
    "profile_revision": 0,
    "run_id": None,
    "created_at": ids.LATER,
    "replies": [],
}

EXAMPLES: dict[str, Json] = {
    "Thread": {
        "id": ids.THREAD,
        "title": "Camping",
        "timezone": "Europe/Paris",
        "created_at": ids.CREATED,
        "message_count": 3,
        "post_count": 1,
    },
    "NewThread": {"title": "Camping", "timezone": "Europe/Paris"},
    "ThreadChange": {"title": "Camping", "timezone": "Europe/Paris"},
    "Message": _MESSAGES[0],
    "NewMessage": {"role": "user", "content": _SAID[0][2], "created_at": ids.SAID[0]},
    "NewMessages": {
        "messages": [
            {"role": role, "content": content, "created_at": moment}
            for (role, _, content), moment in zip(_SAID, ids.SAID, strict=True)
        ]
    },
    "Added": {"added": 3, "duplicates": 0, "last_seq": 3, "messages": _MESSAGES},
    "Post": _POST,
    "NewPost": {"title": "When?", "content": ids.ASKED, "author": "ann", "board": "general", "thread_id": ids.THREAD},
    "PostChange": {"title": "When, and where?"},
    "Comment": _COMMENT,
    "NewComment": {"content": "Which week?", "author": "ann"},
    "CommentChange": {"content": "Which week of May?"},
    "Vote": {"post_id": ids.POST, "voter": "ann", "value": 1, "voted_at": ids.LATER},
    "NewVote": {"value": 1},
    "Ballot": {"post_id": ids.POST, "voter": "ann", "value": 1, "score": 1},
    "BoardCount": {"board": "general", "post_count": 1},
    "Entry": _ENTRY,
    "EntryTree": {**_ENTRY, "replies": [_REPLY]},
    "NewReply": {"body": "We prefer the second week.", "author": "ann"},
    "JournalSettings": {"self_reply": True, "posts": "trends"},
    "JournalSettingsChange": {"posts": "always"},
}
