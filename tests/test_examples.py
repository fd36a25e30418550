"""Every example runs, at a tiny size, with warnings as errors; and so does the Python of the README and of some pages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SHRINK = {r"\b(\d+)_000\b": "400", r"replicas=\d+": "replicas=4"}


def run(arguments: list[str], folder: Path) -> str:
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def python_of(page: str) -> str:
    """Return the Python blocks of a page, with smaller numbers of replicas and sweeps."""
    text = (ROOT / page).read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    for pattern, small in SHRINK.items():
        code = re.sub(pattern, small, code)
    return code


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path) -> None:
    assert run([str(path), "--quick"], tmp_path).strip()
    assert not list(tmp_path.iterdir())  # an example writes nothing that it was not asked for


def test_relaxation_figure(tmp_path: Path) -> None:
    run([str(ROOT / "examples" / "relaxation.py"), "--quick", "-o", "curves.png"], tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md", "docs/own_sampler.md"])
def test_page(page: str, tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text(python_of(page), encoding="utf-8")
    assert run([str(script)], tmp_path).strip()
