"""Who and what the examples speak of: one thread, in which two people plan to go camping."""

Json = dict[str, object]

THREAD = "default"  # it always exists, so what is tried out finds it
MESSAGES = (
    "c1bb777f5612adb5feee638897e1c6ec",
    "88704e0b695d7160195e523358d5476a",
    "64f593e4895f0524c043437a19e99028",
)
POST = "6a8ed330bd20af2353f9294735c7adee"
COMMENT = "0432d3536b62000d30ee44fde5a8d054"
HEARTBEAT_RUN = "095b49bb529826d93f3e37f8bf95d17b"
REFLECTION_RUN = "62d91036e198c27820f385193e7ae6f5"
PERSONALITY_RUN = "bb1c59cea44bfd7f1b7b873b33cb760d"
ENTRY = "17ab340864ca4e943d44a93688e4ee26"
REPLY = "cb22cd876f457aec4e10a294fac6ad2c"
QUESTION = "3d0b9f6c1e2a4875b6c7d8e9f0a1b2c3"
APPROVAL = "9e8d7c6b5a49382716f5e4d3c2b1a098"

CREATED = "2026-03-01T09:58:00Z"
SAID = ("2026-03-01T10:00:00Z", "2026-03-01T10:00:40Z", "2026-03-01T10:02:00Z")
RECEIVED = "2026-03-01T10:02:05Z"
POSTED = "2026-03-01T10:05:00Z"
SLOT = "2026-03-01T10:28:00Z"
BEGAN = "2026-03-01T10:28:00.412000Z"
ENDED = "2026-03-01T10:28:03.912000Z"
EPOCH = 1772360883.912
"""The end of the heartbeat, in epoch seconds."""

EVENT = "0-42"
"""Where the newest event stands."""

NEXT = "2026-03-01T10:58:00Z"
LATER = "2026-03-01T11:20:00Z"

ASKED = "@ledger when do we go camping?"
ANSWERED = "In May: by the lake, most likely in the second week."
SUMMARY = "Answered Ann: camping is planned for May."
MODEL = "qwen3"
