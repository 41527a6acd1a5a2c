"""How many tokens a text has, near enough to bound what is read and what is sent."""

from collections.abc import Callable


def count_tokens(text: str) -> int:
    """About what a model counts: a quarter a character, and 0.4 for every byte that UTF-8 needs beyond one a character.

    So 4 letters of English, 1.5 of Cyrillic or 1 Chinese character make a token. It errs on the high side.
    """
    extra = len(text.encode(errors="surrogatepass")) - len(text)
    return -(-(5 * len(text) + 8 * extra) // 20)


def clip(text: str, most: int, size: Callable[[str], int] = count_tokens) -> str:
    """The beginning of a text, of at most so many tokens, its end marked where something was left out."""
    if size(text) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle] + "…") <= most else (low, middle - 1)
    return text[:low].rstrip() + "…" if low else ""
