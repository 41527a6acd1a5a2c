"""Findings, as people read them."""

from collections.abc import Iterator

from ledger.doctor.finding import Finding, Level

_INDENT = " " * 6


def lines(findings: list[Finding]) -> Iterator[str]:
    """One line for each finding, and one below it on what to do."""
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        yield f"{finding.level:<4}  {finding.check:<{width}}  {_one_line(finding.detail)}"
        if finding.mend:
            yield f"{_INDENT}{'':<{width}}  {_one_line(finding.mend)}"


def summary(findings: list[Finding]) -> str:
    return f"{_counted(findings, 'FAIL', 'failure')}, {_counted(findings, 'warn', 'warning')}."


def _counted(findings: list[Finding], level: Level, what: str) -> str:
    count = sum(finding.level == level for finding in findings)
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _one_line(text: str) -> str:
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
