"""The variables that set something: how each is read, and what is right where it cannot be."""

import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

import msgspec
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

LogLevel = Literal["debug", "info", "warning", "error"]
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


class SettingError(ValueError):
    """A variable that cannot be read: names the variable, its value, and what would be right."""


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a million tokens of a model cost."""

    prompt: float
    completion: float


class Variable(NamedTuple):
    """One row of the table of settings: the variable's name, the field it sets, how it is read, what it means."""

    name: str
    field: str
    read: Callable[[str], Any]
    meaning: str


def printable(value: str) -> str:
    if not value.isprintable():  # which half of a surrogate pair, bytes that are not UTF-8, is not either
        raise SettingError("write printable UTF-8 text")
    return value


def _text(value: str) -> str:
    if not value.strip():
        raise SettingError("must not be empty")
    return value.strip()


def _switch(value: str) -> bool:
    word = value.strip().lower()
    if word not in _TRUE + _FALSE:
        raise SettingError(f"write one of {', '.join(_TRUE)} or {', '.join(_FALSE)}")
    return word in _TRUE


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise SettingError(f"write a whole number from {low} to {high}")
        return number

    return read


def _number(low: float, high: float, what: str = "a number") -> Callable[[str], float]:
    def read(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise SettingError(f"write {what} from {low:g} to {high:g}")
        return number

    return read


def _seconds(low: float, high: float) -> Callable[[str], float]:
    return _number(low, high, "a number of seconds")


def _unlimited(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """What `read` reads, or `unlimited`, which is None."""

    def read_limit(value: str) -> object:
        if value.strip().lower() == "unlimited":
            return None
        try:
            return read(value)
        except SettingError as error:
            raise SettingError(f"{error}, or unlimited") from None

    return read_limit


_DEAREST = 1_000_000


def _prices(value: str) -> dict[str, Price]:
    hint = 'write JSON such as {"MODEL": {"prompt": 0.25, "completion": 2.0}}, prices of a million tokens'
    try:
        prices = msgspec.json.decode(value, type=dict[str, Price])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise SettingError(f"{hint} ({error})") from None
    if not all(0 <= each <= _DEAREST for price in prices.values() for each in (price.prompt, price.completion)):
        raise SettingError(f"{hint}, each from 0 to {_DEAREST:,}")
    return prices


def _list(value: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in value.split(",") if item.strip())


def _origins(value: str) -> tuple[str, ...]:
    origins = tuple(origin.rstrip("/") for origin in _list(value))
    if not all(origin == "*" or re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/*\s]+", origin) for origin in origins):
        raise SettingError("write whole origins, separated by commas, such as https://panel.example, or * for all")
    return origins


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(host.strip("[]") for host in _list(value))
    if not all(host == "*" or re.fullmatch(r"[a-zA-Z0-9._-]+|[0-9a-fA-F:]+", host) for host in hosts):
        raise SettingError("write host names without scheme or port, separated by commas, or * for all")
    return hosts


def _database(value: str) -> str:
    hint = "write sqlite+aiosqlite:///PATH or postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE"
    try:
        url = make_url(value.strip())
    except (ArgumentError, ValueError):
        raise SettingError(hint) from None
    if url.drivername not in _DRIVERS:
        raise SettingError(hint)
    if url.drivername.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise SettingError("the database must be a file, such as sqlite+aiosqlite:///ledger.db")
    return url.set(drivername=_DRIVERS[url.drivername]).render_as_string(hide_password=False)


def _agent(value: str) -> str:
    name = value.strip()
    if not re.fullmatch(r"[\w-]{1,64}", name):
        raise SettingError("write 1 to 64 letters, digits, _ or -")
    return name


def _url(value: str) -> str:
    try:
        parts = urlsplit(value.strip())
        is_address = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        is_address = False
    if not is_address:
        raise SettingError("write an address that starts with http:// or https://, such as http://127.0.0.1:11434/v1")
    return value.strip()


def _level(value: str) -> str:
    if value.strip().lower() not in get_args(LogLevel):
        raise SettingError(f"write one of {', '.join(get_args(LogLevel))}")
    return value.strip().lower()


_INTERVAL = _whole(1, 604_800)
_COUNT = _unlimited(_whole(0, 1_000_000_000_000))
_KEPT = _unlimited(_whole(1, 1_000_000_000))
_COST = _unlimited(_number(0, 1_000_000_000))
VARIABLES = (
    Variable("CRT_HOST", "host", _text, "Address to listen on; other than loopback only with `CRT_API_TOKEN`."),
    Variable("CRT_PORT", "port", _whole(0, 65_535), "Port to listen on; 0 takes a free one."),
    Variable(
        "CRT_WORK_PORT",
        "work_port",
        _whole(0, 65_535),
        "Port on which `ledger work` tells its health; 0 takes a free one.",
    ),
    Variable("CRT_DATABASE_URL", "database_url", _database, "SQLite file, or `postgresql+asyncpg://…`."),
    Variable("CRT_API_TOKEN", "api_token", _text, "Bearer token that every request but `/health/live` must carry."),
    Variable("CRT_ALLOWED_HOSTS", "allowed_hosts", _hosts, "Further host names requests may name, comma-separated."),
    Variable("CRT_CORS_ORIGINS", "cors_origins", _origins, "Origins whose pages may call the API, comma-separated."),
    Variable("CRT_AGENT_NAME", "agent_name", _agent, "The agent's name, as author and in `@mentions`."),
    Variable("CRT_HEARTBEAT_MD", "heartbeat_md", _text, "The instructions file."),
    Variable("CRT_REFLECTION_LOOP_ENABLED", "reflection_enabled", _switch, "Whether reflection runs."),
    Variable("CRT_REFLECTION_LOOP_SECONDS", "reflection_seconds", _INTERVAL, "Its default interval."),
    Variable("CRT_PERSONALITY_LOOP_ENABLED", "personality_enabled", _switch, "Whether personality runs."),
    Variable("CRT_PERSONALITY_LOOP_SECONDS", "personality_seconds", _INTERVAL, "Its default interval."),
    Variable("CRT_JOURNAL_SELF_REPLY_LOOP_ENABLED", "self_reply_enabled", _switch, "Whether self-reply runs."),
    Variable("CRT_JOURNAL_SELF_REPLY_LOOP_SECONDS", "self_reply_seconds", _INTERVAL, "Its default interval."),
    Variable(
        "CRT_JOURNAL_SELF_REPLY_MIN_SECONDS",
        "self_reply_min_seconds",
        _whole(0, 604_800),
        "Least time between two answers of the agent to itself in a thread.",
    ),
    Variable(
        "CRT_JOURNAL_SELF_REPLY_CHANCE",
        "self_reply_chance",
        _number(0, 1),
        "Share of its own entries that the agent may answer, 0 to 1.",
    ),
    Variable("CRT_LOOP_WINDOW", "loop_window", _whole(1, 200), "Messages that are read beside what is new."),
    Variable("CRT_HEARTBEAT_LOOP_ENABLED", "heartbeat_enabled", _switch, "Whether the heartbeat runs."),
    Variable("CRT_HEARTBEAT_LOOP_SECONDS", "heartbeat_seconds", _INTERVAL, "Its default interval."),
    Variable("CRT_CONCURRENCY", "concurrency", _whole(2, 1_000), "Turns at once in this process."),
    Variable("CRT_TURN_SECONDS", "turn_seconds", _seconds(0.1, 3_600), "Deadline of a turn, model call included."),
    Variable(
        "CRT_LEASE_MARGIN_SECONDS",
        "lease_margin_seconds",
        _seconds(1, 3_600),
        "How much longer than that a turn is left to its process, before another takes it over.",
    ),
    Variable(
        "CRT_TICK_SECONDS", "tick_seconds", _seconds(0.1, 60), "How late another process's write is noticed at most."
    ),
    Variable(
        "CRT_STOP_GRACE_SECONDS", "stop_grace_seconds", _seconds(0, 600), "How long running turns get at shutdown."
    ),
    Variable("CRT_LLM_BASE_URL", "llm_base_url", _url, "OpenAI-compatible endpoint; else `OPENAI_BASE_URL`."),
    Variable("CRT_LLM_API_KEY", "llm_api_key", _text, "Its key; else `OPENAI_API_KEY`."),
    Variable("CRT_LLM_MODEL", "llm_model", _text, "Model that decides; else `OPENAI_MODEL`. None: rules decide."),
    Variable("CRT_LLM_PRICES", "llm_prices", _prices, "Prices of models by a million tokens, as JSON."),
    Variable("CRT_THREAD_CALLS_PER_DAY", "thread_calls_per_day", _COUNT, "Calls of a model for one thread; 0: none."),
    Variable("CRT_THREAD_TOKENS_PER_DAY", "thread_tokens_per_day", _COUNT, "Tokens of these calls."),
    Variable("CRT_THREAD_ACTIONS_PER_DAY", "thread_actions_per_day", _COUNT, "What the agent may do on one thread."),
    Variable("CRT_THREAD_COST_PER_DAY", "thread_cost_per_day", _COST, "What its calls may cost."),
    Variable("CRT_SERVICE_CALLS_PER_DAY", "service_calls_per_day", _COUNT, "Calls for all threads together."),
    Variable("CRT_SERVICE_TOKENS_PER_DAY", "service_tokens_per_day", _COUNT, "Tokens of these calls."),
    Variable("CRT_SERVICE_ACTIONS_PER_DAY", "service_actions_per_day", _COUNT, "What the agent may do on all threads."),
    Variable("CRT_SERVICE_COST_PER_DAY", "service_cost_per_day", _COST, "What all calls may cost."),
    Variable(
        "CRT_KEEP_PROMPTS_DAYS",
        "keep_prompts_days",
        _unlimited(_number(0, 36_500, "a number of days")),
        "How long prompts, answers and contexts of runs are kept.",
    ),
    Variable("CRT_KEEP_PROMPTS", "keep_prompts", _KEPT, "Of how many runs, the newest, they are kept at most."),
    Variable(
        "CRT_KEEP_RUNS_DAYS",
        "keep_runs_days",
        _unlimited(_number(2, 36_500, "a number of days")),
        "How long runs are kept, and closed questions, approvals and days of budgets.",
    ),
    Variable("CRT_KEEP_RUNS", "keep_runs", _KEPT, "How many runs, the newest, are kept at most."),
    Variable(
        "CRT_KEEP_EVENTS_DAYS",
        "keep_events_days",
        _unlimited(_number(1, 36_500, "a number of days")),
        "How long events are kept for readers who come back.",
    ),
    Variable("CRT_LOG_LEVEL", "log_level", _level, "`debug`, `info`, `warning` or `error`."),
)
