"""NVIDIA Dynamo's workers: ``python -m dynamo.vllm``, ``dynamo.sglang`` and ``dynamo.trtllm`` run those engines, whose options
they read beside their own. A pool of such a worker is a pool of the engine; ``dynamo.mocker`` runs none.

Sources: Dynamo 0.6.1 to 1.6.1, components/src/dynamo/{vllm,sglang,trtllm}/args.py and before components/backends/*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servelint.engines.launching import talks

if TYPE_CHECKING:
    from servelint.engines.command import Program
    from servelint.engines.flags import FlagTable
    from servelint.engines.versions import Version
    from servelint.facts import Fact

LAUNCHER = "python -m dynamo."
# Engine → the packages whose modules start it; the last parts of modules that do something else.
_PACKAGES = {"vllm": ("dynamo.vllm",), "sglang": ("dynamo.sglang", "dynamo.sgl"), "trtllm": ("dynamo.trtllm",)}
_NO_WORKERS = ("utils", "tests", "tools", "clear_namespace", "main_bench")
_RUNTIME = "-runtime"


def worker(program: Program, engine: str) -> tuple[str, int] | None:
    """(launcher, index of the first argument) of Dynamo's worker of ``engine`` in a program's words; None if it runs none."""
    for module, start in () if talks(program) else program.modules:
        for package in _PACKAGES[engine]:
            inside = module.removeprefix(f"{package}.").split(".") if module != package else []
            if module == package or (module.startswith(f"{package}.") and not set(inside) & set(_NO_WORKERS)):
                return f"python -m {module}", start
    return None


def version_of(image: str, engine: str) -> Version | None:
    """The version of ``engine`` in a release image of Dynamo; None for any other image, and for previews of a release."""
    if _RUNTIME not in image:
        return None
    from servelint.engines import dynamo_releases  # lazy: few images are Dynamo's

    return dynamo_releases.version_of(image, engine)


def version(image: Fact[str], engine: str) -> Fact[Version] | None:
    """The same as a fact, unknown where the tag is none of the releases; None for an image that is not Dynamo's runtime."""
    if not image.is_known or _RUNTIME not in image.value:
        return None
    from servelint.engines import dynamo_releases

    return dynamo_releases.version(image, engine)


def table(engine: str) -> FlagTable:
    """The options of the worker of ``engine``: the engine's and Dynamo's own."""
    from servelint.engines.dynamo_flags import worker_table  # lazy: only Dynamo's workers have them

    return worker_table(engine)
