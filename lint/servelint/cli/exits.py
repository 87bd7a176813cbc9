"""The exit codes of every command."""

from __future__ import annotations

from typing import Final

CLEAN: Final = 0
"""Nothing at or above the threshold."""

FINDINGS: Final = 1
"""Findings at or above ``--fail-on``, or checks that could not be evaluated under ``--strict``."""

ERROR: Final = 2
"""Wrong usage or configuration, a crash, or nothing that was named could be read."""

INTERRUPTED: Final = 130
"""Ended by Ctrl-C, as shells report it."""
