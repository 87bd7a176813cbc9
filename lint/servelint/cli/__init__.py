"""The command line: one module per command, imported when it is the one asked for."""

from __future__ import annotations
