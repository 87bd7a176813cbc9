"""Errors that end a run with exit code 2 and one sentence."""

from __future__ import annotations


class UsageError(Exception):
    """A wrong option, configuration or plugin: one sentence that says what, where and what to do."""


class RuleError(UsageError):
    """A rule that failed instead of judging; it names the rule and its module, whose author can mend it."""


class ConfigError(UsageError):
    """A configuration file that cannot be used; ``line`` is 1-based, 0 where the whole file is meant."""

    def __init__(self, message: str, path: str = "", line: int = 0) -> None:
        where = f"{path}:{line}: " if line else f"{path}: " if path else ""
        super().__init__(where + message)
        self.message = message
        self.path = path
        self.line = line
