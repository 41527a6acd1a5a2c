"""The table of settings is the program's, and the README short."""

from pathlib import Path

import pytest

from ledger.settings import Settings
from ledger.variables import VARIABLES, Variable

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_table_tells_a_settings_default_and_meaning(variable: Variable) -> None:
    default = getattr(Settings(), variable.field)
    if isinstance(default, bool):
        shown = f"`{str(default).lower()}`"
    elif default is None and (variable.field.endswith("_per_day") or variable.field.startswith("keep_")):
        shown = "`unlimited`"
    elif default is None or default in ((), {}):
        shown = "none"
    else:
        shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
    assert f"| `{variable.name}` | {shown} | {variable.meaning} |" in SETTINGS


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= 150
