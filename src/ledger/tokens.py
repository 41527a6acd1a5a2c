"""How many tokens a text has, near enough to bound what is read and what is sent."""

from collections.abc import Callable

import msgspec


def count_tokens(text: str) -> int:
    """About what a model counts: a quarter a character, and 0.4 for every byte that UTF-8 needs beyond one a character.

    So 4 letters of English, 1.5 of Cyrillic or 1 Chinese character make a token. It errs on the high side.
    """
    extra = len(text.encode(errors="surrogatepass")) - len(text)
    return -(-(5 * len(text) + 8 * extra) // 20)


def json_tokens(value: object) -> int:
    """About what a model counts for a value that it is sent as JSON, in which some characters take up to six."""
    return count_tokens(msgspec.json.encode(value).decode())


def clip(text: str, most: int, size: Callable[[str], int] = count_tokens) -> str:
    """The beginning of a text, of at most so many tokens, its end marked where something was left out.

    `size` counts a quarter at least for each character, as all of these do: so no more of a long text is looked at.
    """
    longest = 4 * most
    if len(text) <= longest and size(text) <= most:
        return text
    low, high = 0, min(len(text), longest)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle] + "…") <= most else (low, middle - 1)
    return text[:low].rstrip() + "…" if low else ""
