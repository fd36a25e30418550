"""The installed package: import time, what importing loads, versions, typing, tools pinned alike everywhere."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import glassnf

ROOT = Path(__file__).resolve().parent.parent
IMPORT_LIMIT = 0.1  # s, what glassnf may add to NumPy
HEAVY = ("torch", "cupy", "h5py", "matplotlib", "freud", "scipy", "gsd", "extxyz", "lammpsio", "rich", "typer")


def fresh(code: str, environment: dict[str, str] | None = None) -> str:
    """Run code in a new interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment)
    return done.stdout


def test_import_is_quick(tmp_path: Path) -> None:
    """Processor time that glassnf adds to NumPy, the best of five runs; where machines are slow, that of NumPy is the limit.

    Modules are compiled by a run before, into a folder of their own, whatever the settings of the machine.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    code = "import time; t = time.process_time; a = t(); import numpy; b = t(); import glassnf; print(b - a, t() - b)"
    fresh(code, environment)
    tries = []
    for _ in range(5):
        numpy, extra = map(float, fresh(code, environment).split())
        if extra < max(IMPORT_LIMIT, numpy):
            return
        tries.append((extra, numpy))
    pytest.fail(f"import glassnf takes more than {IMPORT_LIMIT} s and than NumPy (glassnf, NumPy): {tries}")


def test_import_loads_nothing_heavy() -> None:
    code = "import glassnf, json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    assert not set(HEAVY) & set(json.loads(fresh(code)))


def test_versions_agree() -> None:
    assert glassnf.__version__ == importlib.metadata.version("glassnf")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE).group(1) == glassnf.__version__  # type: ignore[union-attr]
    assert f"## [{glassnf.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["py.typed", "_core.pyi", "compare/page.html"])
def test_files_without_code_are_installed(name: str) -> None:
    assert (Path(glassnf.__file__).parent / name).is_file()


def test_torch_is_new_enough_for_its_use() -> None:
    """The first torch with torch.library.register_vmap is 2.5."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^flow = \["torch>=(\d+)\.(\d+)"\]$', project, re.MULTILINE)
    assert found is not None
    assert (int(found[1]), int(found[2])) >= (2, 5)


def test_constraints_cover_the_requirements() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", constraints, re.MULTILINE)}
    required = {re.split(r"[^\w.-]", text)[0].lower() for text in importlib.metadata.requires("glassnf") or ()}
    assert required - {"glassnf", "cupy-cuda13x"} <= pinned


def test_ruff_is_the_same_everywhere() -> None:
    if not (ROOT / ".pre-commit-config.yaml").is_file():
        pytest.skip("the source distribution has no .pre-commit-config.yaml")
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    version = re.search(r"^ruff==(.*)$", constraints, re.MULTILINE).group(1)  # type: ignore[union-attr]
    assert f"ruff-pre-commit\n    rev: v{version}\n" in (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
