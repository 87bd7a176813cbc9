from __future__ import annotations

import pytest

from servelint.engines.placeholders import placeholder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {{ .Values.n }}", "<{{ .Values.n }}>"),
        ("<model-path>", "<model-path>"),
        ("###ZARF_VAR_TP###", "<###ZARF_VAR_TP###>"),
        ("__TP_SIZE__", "<__TP_SIZE__>"),
        ("@@TP@@", "<@@TP@@>"),
        ("%TP%", "<%TP%>"),
        ("__init__", ""),
        ("###TP__", ""),
        ("@TP", ""),
        ("<>", ""),
        ("16", ""),
        ("", ""),
    ],
)
def test_what_is_to_be_filled_in(text: str, expected: str) -> None:
    assert placeholder(text) == expected
