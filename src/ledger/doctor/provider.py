"""Whether the model's provider answers, takes the key and knows the model, without a call that costs anything."""

import difflib
import importlib
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import msgspec
from msgspec import Struct

from ledger.clock import Clock
from ledger.completions import CONNECT_SECONDS
from ledger.db import Session
from ledger.doctor.finding import Finding, told
from ledger.doctor.reading import reading
from ledger.providers import store as providers
from ledger.settings import Settings

_LIMIT = timedelta(seconds=10)
_NO_KEY = "none"  # local servers ask for no key, but the client insists on one
_ADDRESS = "CRT_LLM_BASE_URL"
_UNSEEN = "Key and model could not be checked"
_IF_CALLS_FAIL = f"If calls fail, look at {_ADDRESS}: most addresses end with /v1."
_RIGHT_KEY = "Set the right CRT_LLM_API_KEY; a key with restrictions must be allowed to list models."


class _Model(Struct):
    id: str


class _Models(Struct):
    data: list[_Model]


async def look(settings: Settings, clock: Clock) -> list[Finding]:
    """Ask the provider for its list of models."""
    if not settings.has_provider:
        return [_found("ok", "None is configured: rules decide.")]
    where = f"The provider at {settings.provider_url}"
    try:
        with clock.deadline(_LIMIT):
            status, body = await _models(settings)
    except TimeoutError:
        mend = f"Look at the provider and at what is in between, or set another {_ADDRESS}."
        return [_found("FAIL", f"{where} does not answer in time.", mend)]
    except ConnectionError as error:
        mend = f"Start it, or set {_ADDRESS} to where it is."
        return [_found("FAIL", f"{where} cannot be reached: {told(error, settings)}.", mend)]
    return [_verdict(where, status, body, settings)]


async def look_at_pauses(settings: Settings, clock: Clock) -> list[Finding]:
    """Whether the service leaves a model of this provider alone, because it kept failing."""
    del clock
    if not settings.has_provider:
        return []
    async with reading(settings) as connection:
        known = await providers.known(Session(connection))
    mend = "Mend that. A probe goes out every few minutes; after one success all turns come back."
    paused = [each for each in known if each.base_url == settings.provider_url and each.paused_at is not None]
    return [_found("FAIL", each.sentence, mend) for each in paused] or [_found("ok", "No model is paused.")]


async def _models(settings: Settings) -> tuple[int, bytes]:
    """Ask the way calls are made; answers the status and the body. Raises `TimeoutError`, `ConnectionError`."""
    openai = importlib.import_module("openai")  # which takes a third of a second that no other command should wait
    client = openai.AsyncOpenAI(
        base_url=settings.llm_base_url,
        api_key=settings.llm_api_key or _NO_KEY,
        timeout=openai.Timeout(_LIMIT.total_seconds(), connect=CONNECT_SECONDS),
        max_retries=0,
        http_client=openai.DefaultAioHttpClient(),
    )
    async with client:
        try:
            response = await client.get("/models", cast_to=importlib.import_module("httpx2").Response)
        except openai.APIStatusError as error:
            response = error.response
        except openai.APIConnectionError as error:
            causes = list(_causes(error))  # the client itself calls even a refusal a timeout
            is_late = any(isinstance(cause, TimeoutError) for cause in causes)
            raise (TimeoutError() if is_late else ConnectionError(str(causes[-1]))) from error
        return response.status_code, response.content


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _verdict(where: str, status: int, body: bytes, settings: Settings) -> Finding:
    match status:
        case 200:
            return _listed(where, body, settings)
        case 401 | 403 if settings.llm_api_key is None:
            level, said, mend = "FAIL", f"asks for a key ({status}), and none is set", "Set CRT_LLM_API_KEY."
        case 401 | 403:
            level, said, mend = "FAIL", f"refuses the key ({status})", _RIGHT_KEY
        case 404 | 405 | 501:
            level, said, mend = (
                "warn",
                f"answers, but lists no models ({status}), as many do. {_UNSEEN}",
                _IF_CALLS_FAIL,
            )
        case 429:
            level, said, mend = "warn", "answers, but wants to be asked less often (429)", "Look again later."
        case status if status == 402 or status >= 500:  # noqa: PLR2004 - statuses
            level, said, mend = "FAIL", f"answers {status}", "Look at the provider, and at your account there."
        case _:
            level, said, mend = "warn", f"answers {status}. {_UNSEEN}", _IF_CALLS_FAIL
    return _found(level, f"{where} {said}.", mend)


def _listed(where: str, body: bytes, settings: Settings) -> Finding:
    try:
        names = [model.id for model in msgspec.json.decode(body, type=_Models).data]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _found("warn", f"{where} answers, but not with a list of models. {_UNSEEN}.", _IF_CALLS_FAIL)
    if settings.llm_model is None:
        none = f"{where} answers, but no model is set: rules decide for threads that name none."
        return _found("warn", none, "Set CRT_LLM_MODEL.")
    return _chosen(where, settings.llm_model, names)


def _chosen(where: str, model: str, names: list[str]) -> Finding:
    """Whether the model is on the list."""
    # Some endpoints list a model by a longer name than the one it is called by.
    short = {name.removeprefix("models/").removesuffix(":latest") for name in names}
    if model in names or model.removesuffix(":latest") in short:
        return _found("ok", f"{where} answers, and lists the model {model}.")
    near = difflib.get_close_matches(model, names, n=3, cutoff=0.4)
    mend = f"Set CRT_LLM_MODEL to one that it lists{': ' if near else ''}{', '.join(near)}."
    return _found("warn", f"{where} answers, but does not list the model {model}.", mend)


_found = partial(Finding, "provider")
