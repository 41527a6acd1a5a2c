"""What looks like a secret: a model is shown the whole text, so none should stand in it."""

import re

_SECRET = re.compile(
    r"\bsk-[A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bxox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{30,}|\b\d{8,10}:[A-Za-z0-9_-]{35}\b"
    r"|\beyJ[A-Za-z0-9_-]{10,500}\.eyJ[A-Za-z0-9_-]{10,500}|-----BEGIN [A-Z ]{0,30}PRIVATE KEY"
    r"|\b[a-z]{2,12}://[^\s:/@]{1,64}:[^\s:/@]{3,64}@"
    r"|(?:passwor[dt]|passwd|contraseña|senha|密码|secret|api[_-]?key|access[_-]?token|auth[_-]?token|bearer)[\"']?"
    r"\s{0,3}[:=\s]\s{0,3}[\"']?(?=[^\s\"']{0,80}\d)[A-Za-z0-9_\-./+]{12,}",
    re.IGNORECASE,
)


def has_secret(text: str) -> bool:
    return _SECRET.search(text) is not None


def shown(text: str) -> str:
    """A piece of the text for a message, in quotes; nothing of it if it looks like a secret."""
    return "what stands there" if has_secret(text) else repr(text)
