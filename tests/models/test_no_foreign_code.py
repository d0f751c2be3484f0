"""Nothing in the package can run code that comes with a model or a file: no pickles, no remote code, no evaluation of text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fintune

SOURCES = sorted(Path(fintune.__file__).parent.rglob("*.py"))
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.load", "torch.save", "np.load"}


def findings(source: str) -> list[str]:
    """What of it could run foreign code."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        found += [f"imports {name}" for name in names if name.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        safe_numpy = name == "np.load" and any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in node.keywords)
        if name in CALLS and not safe_numpy:
            found.append(f"calls {name}")
        for keyword in node.keywords:
            allowed = {"trust_remote_code": "False", "weights_only": "True", "use_safetensors": "True", "shell": "False"}
            if keyword.arg in allowed and ast.unparse(keyword.value) != allowed[keyword.arg]:
                found.append(f"{keyword.arg}={ast.unparse(keyword.value)}")
    return found


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(Path(fintune.__file__).parent)))
def test_no_source_file_can_run_foreign_code(path: Path) -> None:
    assert findings(path.read_text(encoding="utf-8")) == []


def test_models_tokenizers_and_configurations_are_loaded_without_their_code() -> None:
    """Transformers asks at a terminal where this is left open."""
    calls = [
        node
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).lower().startswith("auto")
        and ast.unparse(node.func).endswith(".from_pretrained")
    ]
    assert len(calls) >= 3
    for call in calls:
        assert any(k.arg == "trust_remote_code" and ast.unparse(k.value) == "False" for k in call.keywords), ast.unparse(call)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from pickle import loads", "import joblib.numpy_pickle", "eval('1')", "exec(text)", "yaml.load(text)",
        "torch.load(path, weights_only=True)", "np.load(path)", "np.load(path, allow_pickle=True)", "subprocess.run(line, shell=True)",
        "AutoModel.x(y, trust_remote_code=True)", "AutoModel.x(y, trust_remote_code=flag)", "load(path, use_safetensors=None)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_is_for(source: str) -> None:
    assert len(findings(source)) == 1


@pytest.mark.parametrize("source", ["yaml.safe_load(t)", "model.eval()", "re.compile(p)", "x.load(p)", "np.load(p, allow_pickle=False)"])
def test_the_search_lets_the_harmless_pass(source: str) -> None:
    assert findings(source) == []
