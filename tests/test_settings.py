"""Settings: read once, refused in words, and secrets kept."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.settings import Settings, load
from ledger.variables import VARIABLES, SettingError

SECRET = "s3cr3t-value"  # noqa: S105 - made up here
KNOWN = [variable.name for variable in VARIABLES]


def _field(name: str) -> str:
    return next(variable.field for variable in VARIABLES if variable.name == name)


def test_without_variables_everything_has_its_default() -> None:
    assert load({}) == (Settings(), [])
    assert load(dict.fromkeys(KNOWN, "")) == (Settings(), [])


def test_every_setting_has_a_variable() -> None:
    assert sorted(variable.field for variable in VARIABLES) == sorted(Settings.__struct_fields__)
    assert len(set(KNOWN)) == len(KNOWN)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("CRT_HOST", " localhost ", "localhost"),
        ("CRT_PORT", "0", 0),
        ("CRT_PORT", "65535", 65_535),
        ("CRT_DATABASE_URL", "sqlite:///a.db", "sqlite+aiosqlite:///a.db"),
        ("CRT_DATABASE_URL", "postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("CRT_DATABASE_URL", "postgresql://u:p%40@h:5/d", "postgresql+asyncpg://u:p%40@h:5/d"),
        ("CRT_API_TOKEN", SECRET, SECRET),
        ("CRT_ALLOWED_HOSTS", "a.example, b.example,", ("a.example", "b.example")),
        ("CRT_CORS_ORIGINS", "https://a.example/,http://b.example:1", ("https://a.example", "http://b.example:1")),
        ("CRT_CORS_ORIGINS", "*", ("*",)),
        ("CRT_AGENT_NAME", "my-bot_1", "my-bot_1"),
        ("CRT_HEARTBEAT_MD", "/tmp/a b.md", "/tmp/a b.md"),  # noqa: S108 - a name, never opened
        ("CRT_HEARTBEAT_LOOP_ENABLED", "true", True),
        ("CRT_HEARTBEAT_LOOP_SECONDS", "60", 60),
        ("CRT_CONCURRENCY", "2", 2),
        ("CRT_TURN_SECONDS", "0.5", 0.5),
        ("CRT_TICK_SECONDS", "1e1", 10.0),
        ("CRT_STOP_GRACE_SECONDS", "0", 0.0),
        ("CRT_LLM_BASE_URL", "http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("CRT_LLM_API_KEY", SECRET, SECRET),
        ("CRT_LLM_MODEL", "a/model:tag", "a/model:tag"),
        ("CRT_LOG_LEVEL", "DEBUG", "debug"),
    ],
)
def test_a_good_value_is_read(name: str, value: str, read: object) -> None:
    assert getattr(load({name: value})[0], _field(name)) == read


@pytest.mark.parametrize("name", [name for name in KNOWN if name.endswith("_ENABLED")])
@pytest.mark.parametrize("word", ["true", "1", "yes", "on", "false", "0", "no", "off", "OFF", " False "])
def test_the_words_for_no_are_false_and_those_for_yes_are_true(name: str, word: str) -> None:
    wanted = word.strip().lower() in {"true", "1", "yes", "on"}
    assert getattr(load({name: word})[0], _field(name)) is wanted


BAD = [
    ("CRT_HOST", "  ", "must not be empty"),
    *(("CRT_PORT", value, "a whole number from 0 to 65535") for value in ("http", "-1", "65536", "80.5", "9" * 5000)),
    *(("CRT_HEARTBEAT_MD", value, "must not be empty") for value in (" ",)),
    ("CRT_LLM_MODEL", " ", "must not be empty"),
    *(("CRT_AGENT_NAME", value, "1 to 64 letters, digits") for value in ("a b", "@bot", "a" * 65, " ", "a.b")),
    *(("CRT_CORS_ORIGINS", value, "https://") for value in ("panel.example", "https://a.example,b.example", "null")),
    *((name, "maybe", "true, 1, yes, on or false, 0, no, off") for name in KNOWN if name.endswith("_ENABLED")),
    *(
        (name, value, "a whole number from 1 to 604800")
        for name in KNOWN
        if name.endswith("_LOOP_SECONDS")
        for value in ("0", "604801", "30m", "1.5")
    ),
    *(("CRT_CONCURRENCY", value, "a whole number from 2 to 1000") for value in ("1", "1001", "many")),
    *(("CRT_TURN_SECONDS", value, "a number of seconds from 0.1 to 3600") for value in ("0", "nan", "inf", "2m")),
    *(("CRT_TICK_SECONDS", value, "a number of seconds from 0.1 to 60") for value in ("0", "61", "-5", "soon")),
    *(("CRT_STOP_GRACE_SECONDS", value, "a number of seconds from 0 to 600") for value in ("-0.1", "601", "NaN")),
    *(("CRT_LLM_BASE_URL", value, "http:// or https://") for value in ("localhost:11434", "ftp://a.example", "//a")),
    ("CRT_LOG_LEVEL", "loud", "debug, info, warning, error"),
]  # fmt: skip - one variable a line


@pytest.mark.parametrize(("name", "value", "right"), BAD)
def test_a_bad_value_is_refused_with_its_variable_its_value_and_what_is_right(
    name: str, value: str, right: str
) -> None:
    with pytest.raises(SettingError) as refused:
        load({name: value})
    assert str(refused.value).startswith(f"{name}={value!r} cannot be read: ")
    assert right in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://u:{SECRET}@h/d",
        f"postgresql+psycopg://u:{SECRET}@h/d",
        f"u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@h:port/d",
        f"postgresql://u:{SECRET}@[::1/d",
    ],
)
def test_a_bad_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingError, match=re.escape("postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE")) as refused:
        load({"CRT_DATABASE_URL": url})
    assert "CRT_DATABASE_URL" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite:///:memory:"])
def test_a_database_that_is_no_file_is_refused(url: str) -> None:
    with pytest.raises(SettingError, match=r"^CRT_DATABASE_URL=.*must be a file, such as sqlite\+aiosqlite:///"):
        load({"CRT_DATABASE_URL": url})


@pytest.mark.parametrize("name", ["CRT_API_TOKEN", "CRT_LLM_API_KEY", "OPENAI_API_KEY"])
def test_an_empty_secret_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingError, match=rf"^{name}=.*must not be empty"):
        load({name: "  "})


@pytest.mark.parametrize("name", ["CRT_LLM_BASE_URL", "OPENAI_BASE_URL"])
def test_a_bad_endpoint_is_refused_without_its_password(name: str) -> None:
    with pytest.raises(SettingError, match=name) as refused:
        load({name: f"user:{SECRET}@models.example/v1"})
    assert SECRET not in str(refused.value)


def test_no_error_of_one_variable_shows_the_secrets_of_others() -> None:
    secrets = {"CRT_API_TOKEN": SECRET, "CRT_LLM_API_KEY": SECRET, "OPENAI_API_KEY": SECRET}
    secrets["CRT_DATABASE_URL"] = f"postgresql://u:{SECRET}@h/d"
    for name, value, _ in BAD:
        with pytest.raises(SettingError) as refused:
            load(secrets | {name: value})
        assert SECRET not in str(refused.value)
    assert SECRET not in " ".join(load(secrets | {"CRT_HOTS": SECRET})[1])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "ledger.example", "127.evil.example"])  # noqa: S104
def test_an_open_address_without_a_token_is_refused(host: str) -> None:
    with pytest.raises(SettingError, match=rf"CRT_HOST='{re.escape(host)}'.*CRT_API_TOKEN.*127\.0\.0\.1"):
        load({"CRT_HOST": host})
    with pytest.raises(SettingError, match="CRT_API_TOKEN"):
        load({}, overrides={"host": host})
    assert load({"CRT_HOST": host, "CRT_API_TOKEN": SECRET})[0].host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST"])
def test_loopback_needs_no_token(host: str) -> None:
    assert load({"CRT_HOST": host})[0].host == host


def test_the_command_line_wins_and_is_named_when_it_is_wrong() -> None:
    assert load({"CRT_PORT": "1"}, overrides={"port": "2"})[0].port == 2
    with pytest.raises(SettingError, match=r"^--port='x' cannot be read"):
        load({"CRT_PORT": "1"}, overrides={"port": "x"})


def test_the_usual_variables_of_a_provider_are_the_fallback() -> None:
    usual = {"OPENAI_BASE_URL": "http://a.example", "OPENAI_API_KEY": "key", "OPENAI_MODEL": "small"}
    read, warnings = load(usual)
    assert (read.llm_base_url, read.llm_api_key, read.llm_model) == ("http://a.example", "key", "small")
    assert warnings == []
    read, _ = load(usual | {"CRT_LLM_MODEL": "large", "CRT_LLM_API_KEY": ""})
    assert (read.llm_base_url, read.llm_api_key, read.llm_model) == ("http://a.example", "key", "large")
    with pytest.raises(SettingError, match=r"^OPENAI_BASE_URL='nowhere'"):
        load({"OPENAI_BASE_URL": "nowhere"})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("CRT_HEARTBEAT_LOOP_SECOND", "CRT_HEARTBEAT_LOOP_SECONDS"),
        ("CRT_DATABASE", "CRT_DATABASE_URL"),
        ("CRT_PROT", "CRT_PORT"),
        ("CRT_SELF_REPLY_LOOP_ENABLED", "CRT_JOURNAL_SELF_REPLY_LOOP_ENABLED"),
    ],
)
def test_an_unknown_name_is_warned_about_with_the_nearest_known_one(name: str, nearest: str) -> None:
    read, (warning,) = load({name: "1"})
    assert read == Settings()
    assert warning == f"{name} is not a setting of Ledger: did you mean {nearest}?"


def test_whatever_is_not_ours_is_not_looked_at() -> None:
    assert load({"PATH": "/bin", "XCRT_PORT": "1", "crt_port": "1"}) == (Settings(), [])
    assert len(load({"CRT_": "1", "CRT_\u00e9": "1"})[1]) == 2


@pytest.mark.parametrize("value", ["true", "false", "nonsense", ""])
def test_the_removed_switch_is_warned_about_with_its_successor(value: str) -> None:
    read, (warning,) = load({"CRT_HEARTBEAT_ENABLED": value})
    assert read.heartbeat_enabled is False
    assert "CRT_HEARTBEAT_ENABLED was removed" in warning
    assert "CRT_HEARTBEAT_LOOP_ENABLED" in warning


def test_half_a_provider_is_warned_about() -> None:
    (warning,) = load({"CRT_LLM_MODEL": "small"})[1]
    assert "CRT_LLM_BASE_URL" in warning
    (warning,) = load({"CRT_LLM_API_KEY": SECRET})[1]
    assert "CRT_LLM_MODEL" in warning


RAW = st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))
"""Text as an environment can hold it."""

HINTS = st.sampled_from(["true", "0", "1e400", "sqlite:///a", "postgresql://[", "postgresql://h:x/d", "::1", "٣"])
URLS = st.builds("{}://{}".format, st.sampled_from(["sqlite", "postgres", "postgresql+asyncpg", "http"]), RAW)
TEXTS = RAW | HINTS | URLS

untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@untimed
@given(st.dictionaries(st.sampled_from([*KNOWN, "OPENAI_BASE_URL", "CRT_HEARTBEAT_ENABLED"]), TEXTS))
def test_whatever_the_variables_hold_there_are_settings_or_a_setting_error(environ: dict[str, str]) -> None:
    try:
        read, warnings = load(environ)
    except SettingError as error:
        assert any(name in str(error) for name in environ)  # noqa: PT017 - either way is right
    else:
        assert isinstance(read, Settings)
        assert all(isinstance(warning, str) for warning in warnings)


@untimed
@given(st.sampled_from(KNOWN), TEXTS)
def test_whatever_one_variable_holds_it_is_read_or_refused_by_name(name: str, value: str) -> None:
    try:
        load({name: value})
    except SettingError as error:
        assert str(error).startswith(f"{name}=")  # noqa: PT017 - either way is right
