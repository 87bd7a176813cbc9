"""Configuration: ``servelint.yaml`` or ``[tool.servelint]`` of ``pyproject.toml``, the nearest one upwards.

Command-line options are laid over it by the command line's own module. A configuration is operator's input: what it names
(plugins, model configurations) is read relative to its folder.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from servelint.errors import ConfigError
from servelint.finding import Certainty, Severity
from servelint.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from servelint.rulebook import Rule

FILE_NAMES = ("servelint.yaml", ".servelint.yaml")
# default: what is wrong or worth a warning. strict: advice, too. gate: only errors that are proven, to hold up a merge.
PROFILES = ("default", "strict", "gate")
SEVERITIES = {severity.label: severity for severity in Severity}


class Config(NamedTuple):
    """What an organization sets. ``select`` and ``ignore`` are code prefixes; an empty ``select`` is every rule of the
    ``profile``.

    ``labels``: ``label=value`` (or a label, whatever its value) of nodes → their accelerator; ``resource_profiles``: the same
    for profiles of KubeAI. ``engine_versions``: engine name → version, for images whose tag does not say it.
    ``model_configs``: model id → path of a ``config.json``. ``complete``: the run holds every file, so absence may be
    concluded from.
    """

    profile: str = "default"
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = {}
    fail_on: Severity = Severity.ERROR
    default_accelerator: str | None = None
    labels: Mapping[str, str] = {}
    resource_profiles: Mapping[str, str] = {}
    engine_versions: Mapping[str, str] = {}
    exclude: tuple[str, ...] = ()
    force_exclude: bool = False
    plugins: tuple[str, ...] = ()
    model_configs: Mapping[str, str] = {}
    hf_cache: str | None = None
    complete: bool = False
    strict: bool = False
    knowledge: str | None = None
    path: str = ""

    def selects(self, code: str) -> bool:
        """Whether rule ``code`` runs: the longest matching prefix of select and ignore decides; ignore wins a tie."""
        chosen = max((len(p) for p in self.select if code.startswith(p)), default=-1 if self.select else 0)
        ignored = max((len(p) for p in self.ignore if code.startswith(p)), default=-1)
        return chosen >= 0 and chosen > ignored

    def runs(self, rule: Rule) -> bool:
        """Whether ``rule`` runs: it is selected, and advice only where the profile or its whole code asks for it."""
        return self.selects(rule.code) and (not rule.advice or self.advises or rule.code in self.select)

    @property
    def advises(self) -> bool:
        """Whether the profile has advice in it."""
        return self.profile == "strict"

    def reports(self, severity: Severity, certainty: Certainty) -> bool:
        """Whether the profile has findings of this severity and certainty in it."""
        return self.profile != "gate" or (severity is Severity.ERROR and certainty is Certainty.PROVEN)

    def severity_of(self, code: str, severity: Severity) -> Severity:
        """The organization's severity of a rule, by the longest matching prefix, else ``severity``."""
        prefixes = [p for p in self.severity if code.startswith(p)]
        return self.severity[max(prefixes, key=len)] if prefixes else severity


def find(start: str) -> str | None:
    """The configuration file that applies in the folder ``start``: the nearest upwards; a ``.git`` ends the search."""
    folder = os.path.abspath(start)
    while True:
        for name in FILE_NAMES:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                return path
        project = os.path.join(folder, "pyproject.toml")
        if os.path.isfile(project):
            with open(project, "rb") as file:
                if b"[tool.servelint" in file.read():
                    return project
        parent = os.path.dirname(folder)
        if parent == folder or os.path.exists(os.path.join(folder, ".git")):
            return None
        folder = parent


def load(explicit: str | None, isolated: bool, start: str) -> Config:
    """The configuration of a run; the defaults where ``isolated`` or where there is no file.

    Raises :class:`ConfigError` with path and line where the file cannot be read or breaks its schema.
    """
    path = explicit or (None if isolated else find(start))
    if path is None:
        return Config()
    from servelint.config_file import read_config  # lazy: only runs with a configuration pay for its schema

    return from_mapping(read_config(path), path)


def from_mapping(raw: Mapping[str, Any], path: str) -> Config:
    """A configuration of schema-checked content; paths in it become relative to the working directory."""
    folder = os.path.dirname(path)

    def located(value: str) -> str:
        return value if os.path.isabs(value) else os.path.normpath(os.path.join(folder, value))

    def codes(name: str) -> tuple[str, ...]:
        return tuple(raw.get(name, ()))

    for code, level in raw.get("severity", {}).items():
        if level not in SEVERITIES:
            raise ConfigError(f"severity of {code} is {level!r}; it takes {', '.join(SEVERITIES)}", path)
    return Config(
        profile=raw.get("profile", "default"),
        select=codes("select"),
        ignore=codes("ignore"),
        severity={code: SEVERITIES[level] for code, level in raw.get("severity", {}).items()},
        fail_on=SEVERITIES[raw.get("fail_on", "error")],
        default_accelerator=raw.get("default_accelerator"),
        labels=dict(raw.get("labels", {})),
        resource_profiles=dict(raw.get("resource_profiles", {})),
        engine_versions=dict(raw.get("engine_versions", {})),
        exclude=codes("exclude"),
        force_exclude=bool(raw.get("force_exclude", False)),
        plugins=tuple(map(located, raw.get("plugins", ()))),
        model_configs={name: located(value) for name, value in raw.get("model_configs", {}).items()},
        hf_cache=located(raw["hf_cache"]) if raw.get("hf_cache") else None,
        complete=bool(raw.get("complete", False)),
        strict=bool(raw.get("strict", False)),
        knowledge=located(raw["knowledge"]) if raw.get("knowledge") else None,
        path=path,
    )
