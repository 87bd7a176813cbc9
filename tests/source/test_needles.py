from __future__ import annotations

import pytest

from servelint.source.needles import matches


@pytest.mark.parametrize(
    ("sets", "found"),
    [
        ([(b"vllm",)], True),
        ([(b"vllm", b"kind: deployment")], True),
        ([(b"vllm", b"kind: service")], False),
        ([(b"sglang",), (b"kind: deployment",)], True),
        ([(b"sglang",), (b"kind: service",)], False),
        ([], False),
        ([()], True),
    ],
)
def test_one_set_must_occur_as_a_whole(sets: list[tuple[bytes, ...]], found: bool) -> None:
    assert matches(b"apiversion: apps/v1\nkind: deployment\nimage: vllm/vllm-openai\n", sets) is found
