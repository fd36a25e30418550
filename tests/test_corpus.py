"""Files that were made to break the readers, and files that once did: each is read well or refused in one sentence.

What the fuzzers find goes to tests/data/corpus, in a folder for each target of tests/fuzz.
"""

from __future__ import annotations

import ast
import functools
import json
import random
from pathlib import Path

import pytest

import glassnf
from fuzz import oracle, recipes, seeds, targets
from fuzz.targets import LIBRARY, TARGETS
from glassnf.io import FileFormatError, RunFile, load_ensemble

CORPUS = Path(__file__).parent / "data" / "corpus"
FILES = sorted(str(path.relative_to(CORPUS)) for path in CORPUS.rglob("*") if path.is_file())


@functools.cache
def _seeds(name: str) -> dict[str, bytes]:
    return TARGETS[name].seeds()


def test_every_folder_is_of_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
    assert len(FILES) >= 15


@pytest.mark.parametrize("file", FILES)
def test_files_that_once_broke_a_reader(file: str) -> None:
    TARGETS[file.split("/")[0]].check((CORPUS / file).read_bytes())


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in LIBRARY])
def test_damaged_files(name: str) -> None:
    """Cut short, or one byte changed."""
    check, rng = TARGETS[name].check, random.Random(name)
    for content in list(_seeds(name).values())[:2]:
        check(content)
        for _ in range(3):
            check(content[: rng.randrange(len(content))])
            changed = bytearray(content)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            check(bytes(changed))


@pytest.mark.parametrize("kind", [name[4:] for name in _seeds("hdf5_content") if name.startswith("run_")])
def test_hostile_hdf5_files_are_refused(kind: str, tmp_path: Path) -> None:
    """Links to other files, promises of terabytes, one array under many names, all with a seal that is right."""
    targets.secret()
    path = tmp_path / "input.h5"
    recipes.make_hdf5(path, recipes.read_recipe(_seeds("hdf5_content")[f"run_{kind}"]))
    (tmp_path / "secret.h5").write_bytes(seeds.hdf5()["run"])
    with pytest.raises(FileFormatError) as caught:
        RunFile.open(path)
    oracle.sentence(caught.value, path)
    if kind != "many_names":
        with pytest.raises(FileFormatError):
            load_ensemble(path)


def test_a_recipe_describes_a_whole_file(tmp_path: Path) -> None:
    """What the fuzzer of contents makes of an unchanged recipe is the run that the recipe was taken from."""
    whole, made = tmp_path / "whole.h5", tmp_path / "made.h5"
    whole.write_bytes(seeds.hdf5()["run"])
    recipes.make_hdf5(made, json.loads(json.dumps(recipes.hdf5_recipe(whole))))
    assert RunFile.open(made).ensemble.identical_to(RunFile.open(whole).ensemble)


def test_nothing_is_unpickled_or_evaluated() -> None:
    """No module calls what would run code from a file; samplers of a user's own are imported by `plugin` alone."""
    forbidden = {"eval", "exec", "compile", "pickle", "marshal", "shelve", "np.load", "numpy.load", "torch.load", "yaml.load"}
    for path in Path(glassnf.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            used = _used(node)
            assert used not in forbidden, f"{path}:{node.lineno}: {used}"  # type: ignore[attr-defined]
            assert not used.endswith("spec_from_file_location") or path.name == "plugin.py", path


def _used(node: ast.AST) -> str:
    """Return the module that is imported, or the function that is called, or an empty string."""
    if isinstance(node, ast.Import):
        return node.names[0].name
    if isinstance(node, ast.ImportFrom):
        return node.module or ""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return f"{getattr(function.value, 'id', '')}.{function.attr}"
    return function.id if isinstance(function, ast.Name) else ""
