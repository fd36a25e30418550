"""The deliberate errors of tests/mutations: each can be applied, and the results that are shipped are of all of them."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "mutations" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


MUTANTS = _load("mutants").MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_text_occurs_once(mutant: Any) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert mutant.new != mutant.old
    assert mutant.certify
    for name in mutant.suite:
        file, _, function = name.partition("::")
        assert (
            f"def {function}(" in (ROOT / "tests" / file).read_text(encoding="utf-8") if function else (ROOT / "tests" / file)
        )


def test_checks_that_mutants_name_are_there() -> None:
    from glassnf.certify.run import chosen_cases

    for mutant in MUTANTS:
        chosen = chosen_cases(mutant.certify)
        assert any(case.quick and "cpu" in case.devices for case in chosen), mutant.name


def test_there_are_enough_of_every_kind() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 20
    assert sum(mutant.native for mutant in MUTANTS) >= 10


def test_the_results_shipped_are_of_these_mutants_and_all_were_caught() -> None:
    results = json.loads((ROOT / "bench" / "results" / "mutations.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in results["mutants"]] == [mutant.name for mutant in MUTANTS]
    assert [row["digest"] for row in results["mutants"]] == [mutant.digest for mutant in MUTANTS], "run tests/mutations/run.py"
    assert all(row["caught"] for row in results["mutants"])
    assert results["unchanged"]["certify"] == []
    assert not results["unchanged"]["suite"]  # None where they were left to the suite itself, which has all of these tests
    run = _load("run")
    document = (ROOT / "docs" / "certification.md").read_text(encoding="utf-8")
    assert run.table(results) in document


def test_no_placeholder_is_left_in_the_documentation() -> None:
    import re

    for document in (*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")):
        assert not re.findall(r"@[A-Z_]+@", document.read_text(encoding="utf-8")), document.name
