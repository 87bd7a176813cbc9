"""Inference engines: their processes, command lines and flags by release, as facts."""

from __future__ import annotations
