"""Reads unpacked releases of vLLM and SGLang: which model classes take a pipeline, which GPUs a quantization method needs.

Everything is read from the syntax tree, nothing is imported or run. A class whose bases cannot all be followed is left out:
what is not certain is not said.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Bases that decide nothing.
_PLAIN = frozenset(("nn.Module", "Module", "Protocol", "Generic", "ABC", "object", "torch.nn.Module"))
_CONFIG = "QuantizationConfig"


class Sources:
    """The package ``name`` of one unpacked release below ``root``."""

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._package = name
        self._trees: dict[str, ast.Module | None] = {}

    def tree(self, module: str) -> ast.Module | None:
        """The syntax tree of a module by its dotted name; None where there is none."""
        if module not in self._trees:
            base = self._root.joinpath(*module.split("."))
            path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
            self._trees[module] = ast.parse(path.read_text("utf-8-sig")) if path.is_file() else None
        return self._trees[module]

    def is_package(self, module: str) -> bool:
        return self._root.joinpath(*module.split(".")).is_dir()

    def find(self, module: str, name: str, depth: int = 0) -> tuple[str, ast.ClassDef] | None:
        """(module, definition) of a class, imports followed; None where it cannot be found."""
        tree = self.tree(module)
        if tree is None or depth > 8:
            return None
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name == name:
                return module, node
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    found = self.find(self._source(module, node), alias.name, depth + 1)
                    if found is not None:
                        return found
        return None

    def _source(self, module: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = module.split(".")
        keep = len(parts) - node.level + (1 if self.is_package(module) else 0)
        return ".".join([*parts[:keep], *(node.module.split(".") if node.module else [])])

    def classes(self, module: str, name: str) -> tuple[list[ast.ClassDef], bool]:
        """The class and its bases, nearest first, and whether all of them were found."""
        found = self.find(module, name)
        if found is None:
            return [], False
        own, definition = found
        line, complete = [definition], True
        for base in definition.bases:
            text = ast.unparse(base).partition("[")[0]
            if text in _PLAIN:
                continue
            more, whole = self.classes(own, text) if text != name else ([], False)
            line += more
            complete = complete and whole
        return line, complete


def _registered(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Architecture → (module, class) of every literal mapping in vLLM's registry."""
    found: dict[str, tuple[str, str]] = {}
    for node in tree.body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if not isinstance(value, ast.Dict):
            continue
        for key, item in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(item, ast.Tuple) and len(item.elts) == 2:
                parts = [element.value for element in item.elts if isinstance(element, ast.Constant)]
                if len(parts) == 2:
                    found[str(key.value)] = (str(parts[0]), str(parts[1]))
    return found


def vllm_pipelines(root: Path) -> dict[str, bool]:
    """Architecture → whether its class supports pipeline parallelism (derives from ``SupportsPP`` or says so itself)."""
    sources = Sources(root, "vllm")
    models = "vllm.model_executor.models"
    tree = sources.tree(f"{models}.registry")
    if tree is None:
        return {}
    found: dict[str, bool] = {}
    for architecture, (module, name) in _registered(tree).items():
        line, complete = sources.classes(module if module.startswith("vllm.") else f"{models}.{module}", name)
        supports = any(_says_pipeline(definition) for definition in line)
        if supports or complete:
            found[architecture] = supports
    return found


def _says_pipeline(definition: ast.ClassDef) -> bool:
    if definition.name == "SupportsPP":
        return True
    for node in definition.body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id == "supports_pp":
            return True
    return False


def sglang_pipelines(root: Path) -> dict[str, bool]:
    """Architecture → whether ``forward`` takes ``pp_proxy_tensors`` (model_runner.py, ``support_pp``)."""
    sources = Sources(root, "sglang")
    found: dict[str, bool] = {}
    for path in sorted((root / "sglang" / "srt" / "models").glob("*.py")):
        module = f"sglang.srt.models.{path.stem}"
        tree = sources.tree(module)
        for name in _entry_classes(tree) if tree is not None else ():
            line, complete = sources.classes(module, name)
            forward = next((f for definition in line if (f := _forward(definition)) is not None), None)
            if forward is not None:
                found[name] = any(a.arg == "pp_proxy_tensors" for a in (*forward.args.args, *forward.args.kwonlyargs))
            elif complete and line:
                found[name] = False
    return found


def _entry_classes(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EntryClass":
            items = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
            names += [item.id for item in items if isinstance(item, ast.Name)]
    return names


def _forward(definition: ast.ClassDef) -> ast.FunctionDef | None:
    return next((n for n in definition.body if isinstance(n, ast.FunctionDef) and n.name == "forward"), None)


def vllm_capabilities(root: Path) -> dict[str, int]:
    """Quantization method → the least compute capability (8.9 is 89) that its configuration class demands.

    Schemes of compressed-tensors follow as ``compressed-tensors/<module>``.
    """
    sources = Sources(root, "vllm")
    package = "vllm.model_executor.layers.quantization"
    tree = sources.tree(package)
    if tree is None:
        return {}
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Dict):
            continue
        for key, item in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(item, ast.Name):
                line, _ = sources.classes(package, item.id)
                value = next((v for definition in line if (v := _capability(definition)) is not None), None)
                if value is not None:
                    found.setdefault(str(key.value), value)
    schemes = root / "vllm" / "model_executor" / "layers" / "quantization" / "compressed_tensors" / "schemes"
    for path in sorted(schemes.glob("compressed_tensors_*.py")):
        values = [
            value
            for node in ast.walk(ast.parse(path.read_text("utf-8-sig")))
            if isinstance(node, ast.ClassDef) and (value := _capability(node)) is not None
        ]
        if values:
            found[f"compressed-tensors/{path.stem.removeprefix('compressed_tensors_')}"] = min(values)
    return found


def _capability(definition: ast.ClassDef) -> int | None:
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "get_min_capability":
            values = [n.value for n in ast.walk(node) if isinstance(n, ast.Return)]
            if len(values) == 1 and isinstance(values[0], ast.Constant) and isinstance(values[0].value, int):
                return values[0].value
    return None


@cache
def release_key(name: str) -> tuple[int, ...]:
    """``vllm-0.6.6.post1`` → (0, 6, 6)."""
    return tuple(int(part) for part in name.partition("-")[2].split(".")[:3] if part.isdigit())
