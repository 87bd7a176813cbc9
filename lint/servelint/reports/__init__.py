"""Reports: one module per output format, each a pure function of a report; imported when its format is asked for."""

from __future__ import annotations
