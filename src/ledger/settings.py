"""Everything that is set from outside, read from the environment once."""

import difflib
import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ledger.variables import VARIABLES, LogLevel, Price, SettingError, Variable, printable

_OPENAI = "https://api.openai.com/v1"
_SECRET = ("api_token", "llm_api_key", "database_url")
"""Fields whose values no log should show."""

_REMOVED = {"CRT_HEARTBEAT_ENABLED": "CRT_HEARTBEAT_LOOP_ENABLED"}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: int = 8000
    work_port: int = 8001
    database_url: str = "sqlite+aiosqlite:///ledger.db"
    api_token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    agent_name: str = "ledger"
    heartbeat_md: str = "HEARTBEAT.md"
    reflection_enabled: bool = True
    reflection_seconds: int = 900
    personality_enabled: bool = True
    personality_seconds: int = 1200
    self_reply_enabled: bool = True
    self_reply_seconds: int = 1800
    self_reply_min_seconds: int = 1800
    self_reply_chance: float = 0.25
    loop_window: int = 20
    heartbeat_enabled: bool = False
    heartbeat_seconds: int = 1800
    concurrency: int = 8
    turn_seconds: float = 120.0
    lease_margin_seconds: float = 30.0
    tick_seconds: float = 5.0
    stop_grace_seconds: float = 0.0
    llm_base_url: str | None = None
    llm_api_key: str | None = None
    llm_model: str | None = None
    llm_prices: dict[str, Price] = {}
    thread_calls_per_day: int | None = 200
    thread_tokens_per_day: int | None = None
    thread_actions_per_day: int | None = 48
    thread_cost_per_day: float | None = None
    service_calls_per_day: int | None = None
    service_tokens_per_day: int | None = None
    service_actions_per_day: int | None = None
    service_cost_per_day: float | None = None
    keep_prompts_days: float | None = 30.0
    keep_prompts: int | None = None
    keep_runs_days: float | None = 400.0
    keep_runs: int | None = None
    keep_events_days: float | None = 7.0
    log_level: LogLevel = "info"

    @property
    def has_provider(self) -> bool:
        """Whether there is anybody to send a model call to."""
        return bool(self.llm_base_url or self.llm_api_key)

    @property
    def provider_url(self) -> str:
        """The provider's address without what may be secret (name, password, query), to be kept and shown."""
        parts = urlsplit(self.llm_base_url or _OPENAI)
        return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1], query="", fragment=""))


_FALLBACKS = {
    "CRT_LLM_BASE_URL": "OPENAI_BASE_URL",
    "CRT_LLM_API_KEY": "OPENAI_API_KEY",
    "CRT_LLM_MODEL": "OPENAI_MODEL",
}


def load(
    environ: Mapping[str, str] | None = None, overrides: Mapping[str, str] | None = None
) -> tuple[Settings, list[str]]:
    """Read the settings and say what looks wrong but does no harm.

    `overrides` are field names with values as a variable would hold them (the command line). Empty variables
    count as absent. Raises `SettingError` for the first value that cannot be read.
    """
    environ = os.environ if environ is None else environ  # noqa: TID251 - the one place that reads it
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        name, text = variable.name, environ.get(variable.name, "")
        if not text and (fallback := _FALLBACKS.get(name)):
            name, text = fallback, environ.get(fallback, "")
        if overrides and variable.field in overrides:
            name, text = f"--{variable.field.removeprefix('work_')}", overrides[variable.field]
        if text:
            values[variable.field] = _read(variable, name, text)
    settings = Settings(**values)
    _refuse_open_door(settings)
    return settings, _warnings(environ, settings)


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _read(variable: Variable, name: str, text: str) -> object:
    try:
        return variable.read(printable(text))
    except SettingError as error:
        has_password = variable.field == "llm_base_url" and "@" in text
        shown = "…" if variable.field in _SECRET or has_password else text
        raise SettingError(f"{name}={shown!r} cannot be read: {error}.") from None


def _refuse_open_door(settings: Settings) -> None:
    if settings.api_token is None and not is_loopback(settings.host):
        raise SettingError(
            f"CRT_HOST={settings.host!r} can be reached from other machines, so CRT_API_TOKEN must be set: "
            "give it a long random value, or listen on 127.0.0.1."
        )


def _warnings(environ: Mapping[str, str], settings: Settings) -> list[str]:
    known = [variable.name for variable in VARIABLES]
    found: list[str] = []
    for name in sorted(environ):
        if name in _REMOVED:
            found.append(f"{name} was removed and is not read: set {_REMOVED[name]} instead.")
        elif name.startswith("CRT_") and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)[0]
            found.append(f"{name} is not a setting of Ledger: did you mean {nearest}?")
    if settings.llm_model and not settings.has_provider:
        found.append("A model is named, but neither CRT_LLM_BASE_URL nor CRT_LLM_API_KEY is set: rules decide.")
    if settings.has_provider and not settings.llm_model:
        found.append("A provider is set, but not CRT_LLM_MODEL: rules decide for threads that name no model.")
    return found
