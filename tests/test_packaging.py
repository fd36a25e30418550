"""The installed package: import time, what importing loads, versions, typing, tools pinned alike everywhere."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import glassnf

ROOT = Path(__file__).resolve().parent.parent
IMPORT_LIMIT = 0.3  # s
HEAVY = ("torch", "cupy", "h5py", "matplotlib", "freud", "scipy", "gsd", "extxyz", "lammpsio", "rich", "typer")


def fresh(code: str) -> str:
    """Run code in a new interpreter and return what it prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_import_is_quick() -> None:
    # Processor time, the best of up to ten tries. On a machine so busy or slow that NumPy alone takes a third of the limit,
    # which it does not when calm, three times the time of NumPy.
    code = "import time; t = time.process_time; a = t(); import numpy; b = t(); import glassnf; print(b - a, t() - a)"
    tries = []
    while len(tries) < 10:
        with_numpy, total = map(float, fresh(code).split())
        tries.append((total, with_numpy))
        if total < max(IMPORT_LIMIT, 3.0 * with_numpy):
            return
    pytest.fail(f"import glassnf takes (in all, NumPy alone): {tries}")


def test_import_loads_nothing_heavy() -> None:
    code = "import glassnf, json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    assert not set(HEAVY) & set(json.loads(fresh(code)))


def test_versions_agree() -> None:
    assert glassnf.__version__ == importlib.metadata.version("glassnf")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE).group(1) == glassnf.__version__  # type: ignore[union-attr]
    assert f"## [{glassnf.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["py.typed", "_core.pyi"])
def test_typing_files_are_installed(name: str) -> None:
    assert (Path(glassnf.__file__).parent / name).is_file()


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
