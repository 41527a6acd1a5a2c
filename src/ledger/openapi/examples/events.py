"""What streams tell, of the same things."""

from ledger.openapi.examples import ids
from ledger.openapi.examples.ids import Json
from ledger.openapi.examples.instructions import EXAMPLES as INSTRUCTIONS
from ledger.openapi.examples.mind import EXAMPLES as MIND
from ledger.openapi.examples.money import EXAMPLES as MONEY
from ledger.openapi.examples.threads import EXAMPLES as THREADS
from ledger.openapi.examples.turns import EXAMPLES as TURNS

_STARTED: Json = {"run_id": ids.HEARTBEAT_RUN, "loop": "heartbeat"}

_TOLD: dict[str, Json] = {
    "run": TURNS["Run"],
    "post": THREADS["Post"],
    "comment": THREADS["Comment"],
    "vote": THREADS["Ballot"],
    "message": THREADS["Message"],
    "entry": THREADS["Entry"],
    "scorecard": MIND["Scorecard"],
    "profile": MIND["Profile"],
    "instructions": INSTRUCTIONS["InstructionsChange"],
    "question": MONEY["Question"],
    "approval": MONEY["Approval"],
    "loop": TURNS["LoopSwitch"],
    "provider": MONEY["Provider"],
    "started": _STARTED,
}
_OF_ALL = ("instructions", "provider", "reset")
_LIVE = ("started",)


def _event(kind: str) -> Json:
    told: Json = {"data": _TOLD[kind]} if kind in _TOLD else {}
    return {
        "kind": kind,
        "id": None if kind in _LIVE else ids.EVENT,
        "at": ids.ENDED,
        "thread_id": None if kind in _OF_ALL else ids.THREAD,
    } | told


_STATE: Json = {"last_run": ids.EPOCH, "last_summary": ids.SUMMARY, "last_actions": [TURNS["ActionResult"]]}
_SCORECARD: Json = {"type": "reflection_scorecard", "thread_id": ids.THREAD, "scorecard": MIND["Scorecard"]}

_MESSAGES: dict[str, Json] = {
    "Started": _STARTED,
    "ReflectionScorecard": _SCORECARD,
    "PersonalityProfile": {"type": "personality_profile", "thread_id": ids.THREAD, "profile": MIND["Profile"]},
    "HeartbeatState": _STATE,
    "HeartbeatStateMessage": {"type": "heartbeat_state", "thread_id": ids.THREAD, "state": _STATE},
    "Alive": {"type": "heartbeat", "thread_id": ids.THREAD, "ts": ids.EPOCH},
}

_EVENTS: dict[str, Json] = {f"{kind.title()}Event": _event(kind) for kind in (*_TOLD, "reset")}

EXAMPLES: dict[str, Json] = _MESSAGES | _EVENTS | {"Event": _EVENTS["RunEvent"], "LoopMessage": _SCORECARD}
