"""Manifest formats: from documents to deployments, and back into text."""

from __future__ import annotations
