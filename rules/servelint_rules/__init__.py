"""The built-in rules of servelint: a plugin like anyone's, found by the entry point group ``servelint``.

The hook returns themes, not rules: a theme's module is imported only when a run meets something of its scopes, so a
Kubernetes manifest never pays for the rules of native plans. Everything here uses the public API of ``servelint``.
"""

from __future__ import annotations

from servelint.hooks import hookimpl
from servelint.rulebook import Scope, Theme

_DOCUMENT = frozenset((Scope.DOCUMENT, Scope.DEPLOYMENT))
_CONTAINER = frozenset((Scope.CONTAINER,))
_POOL = frozenset((Scope.POOL,))
_PLAN = frozenset((Scope.PLAN,))

THEMES: tuple[Theme, ...] = (
    Theme("servelint_rules.documents", _DOCUMENT, ("DOC101", "DOC102", "DOC103", "DOC104", "DOC105")),
    Theme("servelint_rules.command_line", _CONTAINER, ("CLI101", "CLI102", "CLI104", "CLI105")),
    Theme("servelint_rules.parallelism", _POOL, ("PAR202", "PAR207")),
    Theme("servelint_rules.memory", _POOL, ("MEM401", "MEM402", "MEM403")),
    Theme("servelint_rules.provisioning", _POOL, ("MEM405", "MEM406")),
    Theme("servelint_rules.limits", _POOL, ("LIM301",)),
    Theme("servelint_rules.hardware", _POOL, ("HWQ501",)),
    Theme("servelint_rules.service_levels", _POOL, ("SLO801", "SLO802")),
    Theme("servelint_rules.kubernetes", _CONTAINER | _POOL, ("K8S601", "K8S602", "K8S606", "K8S607", "PAR201")),
    Theme(
        "servelint_rules.plan",
        _PLAN,
        ("PAR219", "PLN901", "PLN902", "PLN903", "PLN904", "PLN905", "PLN909", "PLN916"),
    ),
)


@hookimpl
def servelint_rules() -> tuple[Theme, ...]:
    """The built-in themes; themes whose module has no rule for a scope are simply not asked."""
    return THEMES
