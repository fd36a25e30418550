"""Finding samplers by module, file and entry point, their entries in the register, and the problem that they are given."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnf as gnf
from glassnf.compare import AlgorithmSpec, PluginError, Problem, RunOptions, Samples, get_algorithm, load_samplers, spec_of
from glassnf.compare import algorithms as algorithms_module
from glassnf.compare.own import SamplerAlgorithm
from glassnf.compare.plugin import digest_of, entry_points, find_sampler
from glassnf.compare.problem import pairs_of
from tolerances import FP64_REDUCTION

SYSTEM = gnf.systems.ka2d(43)
PLAIN = """
class Plain:
    label = "plain"
    colour = "#123abc"
    marker = "h"
    least_budget = 120
    restarts = True
    candidates = ({}, {"size": 2})

    def __init__(self, problem, size=1):
        self.problem = problem

    def run(self, budget):
        return None


class Outer:
    class Inner(Plain):
        pass


class NoRun:
    def __init__(self, problem):
        pass


class NoProblem:
    def run(self, budget):
        pass


class NoBudget(Plain):
    def run(self):
        pass


class Needy(Plain):
    def __init__(self, problem, more):
        pass


number = 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder of a user, with some modules in it; path, modules and register are put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(algorithms_module, "_register", dict(algorithms_module._register))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain_one.py").write_text(PLAIN)
    (tmp_path / "half_broken.py").write_text("import a_module_that_is_not_there\n")
    (tmp_path / "broken.py").write_text("raise OSError('no\\nluck')\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit('usage: ...')\n")
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inside.py").write_text("from plain_one import Plain\n")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("plain_one", "pack", "half_broken", "broken", "exits") or name.startswith("glassnf_sampler_"):
            del sys.modules[name]


# ---- finding -----------------------------------------------------------------------------------------------------------------


def test_by_module_and_by_file(folder: Path) -> None:
    plain = find_sampler("plain_one:Plain")
    assert plain.__module__ == "plain_one"
    assert find_sampler("pack.inside:Plain") is plain
    assert find_sampler("plain_one:Outer.Inner").__qualname__ == "Outer.Inner"
    by_file = find_sampler("plain_one.py:Plain")
    assert by_file is not plain
    assert find_sampler(str(folder / "plain_one.py") + ":Plain") is by_file
    assert find_sampler("./pack/../plain_one.py:Plain") is by_file


def test_files_find_their_neighbours(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "neighbour.py").write_text(PLAIN)
    (folder / "elsewhere" / "plain_one.py").write_text("from neighbour import Plain as Same\n")
    assert find_sampler("elsewhere/plain_one.py:Same").__module__ == "neighbour"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "no_such_module:Plain",
            "a module that can be imported in .*, got 'no_such_module:Plain': there is no module 'no_such_",
        ),
        ("pack.missing:Plain", "there is no module 'pack.missing'"),
        (
            "half_broken:Plain",
            r"the import of 'half_broken:Plain' failed \(ModuleNotFoundError: No module named 'a_module_that",
        ),
        ("half_broken.py:Plain", r"the import of 'half_broken.py:Plain' failed \(ModuleNotFoundError"),
        ("broken:Plain", r"the import of 'broken:Plain' failed \(OSError: no luck\)$"),
        ("broken.py:Plain", r"the import of 'broken.py:Plain' failed \(OSError: no luck\)$"),
        ("exits:Plain", r"the import of 'exits:Plain' failed \(SystemExit: usage: ...\)$"),
        ("missing.py:Plain", "expected a Python file, got 'missing.py:Plain': there is no file 'missing.py'"),
        ("plain_one:Plan", "expected a class, got 'plain_one:Plan': there is no 'Plan' in it; did you mean 'Plain'?"),
        ("plain_one:number", "expected a class, got 'plain_one:number', which is 5"),
        ("plain_one:NoRun", r"expected a class with a method run\(budget\), got 'plain_one:NoRun', which has none"),
        ("plain_one:NoBudget", r"expected run\(self, budget\), got 'plain_one:NoBudget' with the signature \(self\)"),
        ("plain_one:NoProblem", "expected a constructor that can be called with a problem alone, got 'plain_one:NoProblem'"),
        (
            "plain_one:Needy",
            r"that can be called with a problem alone, .* \(missing a required argument: 'more'\)",
        ),
        ("plain_one:", "expected package.module:Class, path/to/file.py:Class or the name of an entry point, got 'plain_one:'"),
        (":Plain", "expected package.module:Class"),
        ("a-b:Plain", "expected package.module:Class"),
        ("plain_one:a b", "expected package.module:Class"),
        ("plain", r"or the name of an entry point \(installed entry points: none\), got 'plain'"),
        ("", "expected a non-empty printable string"),
    ],
)
def test_what_is_not_found(folder: Path, monkeypatch: pytest.MonkeyPatch, where: str, message: str) -> None:
    monkeypatch.setattr("glassnf.compare.plugin.entry_points", dict)
    with pytest.raises(ValueError, match=f"^sampler: .*{message}") as caught:
        find_sampler(where)
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=20), st.text("ab.:/py", max_size=12), st.none(), st.integers()))
def test_any_text_is_refused_in_words(where: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="^sampler: .*expected "):
        find_sampler(where)


def test_entry_points(folder: Path) -> None:
    """A distribution whose metadata name a sampler in the group glassnf.samplers."""
    distribution = folder / "site" / "mine-1.0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text("[glassnf.samplers]\nmine = plain_one:Plain\ngone = plain_one:Gone\n")
    sys.path[:0] = [str(folder / "site"), str(folder)]
    assert {"mine", "gone"} <= set(entry_points())
    assert find_sampler("mine").__qualname__ == "Plain"
    (spec,) = load_samplers(["mine"])
    assert (spec.name, spec.label) == ("mine", "plain")
    with pytest.raises(ValueError, match=r"^sampler: the import of 'gone' failed \(AttributeError"):
        find_sampler("gone")
    with pytest.raises(ValueError, match=r"\(installed entry points: .*mine.*\), got 'mime'; did you mean 'mine'\?"):
        find_sampler("mime")


# ---- the register ------------------------------------------------------------------------------------------------------------


def test_an_entry_of_the_register(folder: Path) -> None:
    (spec,) = load_samplers(["plain_one:Plain"])
    assert isinstance(spec, AlgorithmSpec)
    assert (spec.name, spec.label, spec.colour, spec.marker) == ("Plain", "plain", "#123abc", "h")
    assert spec.restarts
    assert spec.least_budget is not None
    assert spec.least_budget(SYSTEM, 0.5, 1.0) == 120
    assert spec.candidates is not None
    assert spec.candidates(SYSTEM, 0.5, 1.0, RunOptions()) == ({}, {"size": 2})
    assert get_algorithm("Plain") is spec
    assert spec.foreign
    assert not get_algorithm("md").foreign
    assert load_samplers(["plain_one:Plain", "pack.inside:Plain"]) == (spec,)
    assert digest_of(spec) == hashlib.sha256(PLAIN.encode()).hexdigest()
    (folder / "plain_one.py").write_text(PLAIN + "# edited")
    assert digest_of(spec) == hashlib.sha256(PLAIN.encode() + b"# edited").hexdigest()
    assert digest_of(get_algorithm("md")) is None


def test_looks_that_the_class_does_not_choose() -> None:
    first, second = (
        spec_of(type(name, (), {"run": lambda self, budget: None, "__init__": lambda self, problem: None})) for name in "AB"
    )
    assert (first.name, first.label) == ("A", "A")
    assert (first.colour, first.marker) != (second.colour, second.marker)
    assert first.least_budget is first.candidates is None
    assert not first.restarts
    built_in = {(get_algorithm(name).colour, get_algorithm(name).marker) for name in ("md", "mc", "swap", "pt", "pa", "nf")}
    assert not {first.colour, second.colour} & {colour for colour, _ in built_in}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"name": 5}, "name: expected a name in the sampler Bad, got 5"),
        ({"name": "a,b"}, "name: expected letters, digits, '_', '.' and '-', first a letter, got 'a,b'"),
        ({"label": 5}, "label: expected a text in the sampler Bad, got 5"),
        ({"label": "a\nb"}, "label: expected a non-empty printable string"),
        ({"colour": "red"}, "colour: expected a colour such as '#000000' in the sampler Bad, got 'red'"),
        ({"marker": "oo"}, "marker: expected one of .* got 'oo'"),
        ({"least_budget": 0}, "least_budget: expected a positive integer, got 0"),
        ({"restarts": "no"}, "restarts: expected True or False, got 'no'"),
        ({"candidates": ()}, "candidates: expected 1 to 8 mappings, got 0"),
        ({"candidates": [{}] * 9}, "candidates: expected 1 to 8 mappings, got 9"),
        ({"candidates": {"size": 1}}, "candidates: expected a sequence of mappings, got"),
        ({"candidates": [5]}, "candidates: expected mappings from names of settings to values, got 5"),
        ({"candidates": [{1: 2}]}, "candidates: expected mappings from names of settings to values, got"),
        ({"candidates": [{"other": 2}]}, "sampler: expected a constructor that takes the candidate {'other': 2}, got 'Bad'"),
    ],
)
def test_bad_attributes(attributes: dict[str, Any], message: str) -> None:
    body = {"run": lambda self, budget: None, "__init__": lambda self, problem, size=1: None, **attributes}
    with pytest.raises((ValueError, TypeError), match=message):
        spec_of(type("Bad", (), body))


def test_candidates_that_depend_on_the_problem() -> None:
    class Careful:
        def __init__(self, problem: Problem, step: float = 0.1) -> None:
            pass

        def run(self, budget: int) -> None:
            pass

        @staticmethod
        def candidates(system: Any, temperature: float, start_temperature: float) -> Any:
            if temperature > 1.0:
                raise KeyError("too hot")
            return [{"step": temperature / start_temperature}] if temperature > 0.5 else [{"stop": 1}]

    spec = spec_of(Careful)
    assert spec.candidates is not None
    assert spec.candidates(SYSTEM, 0.8, 2.0, RunOptions()) == ({"step": 0.4},)
    with pytest.raises(PluginError, match=r"^sampler Careful: candidates failed \(KeyError: 'too hot'\)$"):
        spec.candidates(SYSTEM, 1.2, 2.0, RunOptions())
    with pytest.raises(PluginError, match="^sampler Careful: .*that takes the candidate {'stop': 1}"):
        spec.candidates(SYSTEM, 0.4, 2.0, RunOptions())


def test_names_that_are_taken(folder: Path) -> None:
    (folder / "names.py").write_text(
        PLAIN + "class Swap(Plain):\n    name = 'swap'\n\nclass Twin(Plain):\n    name = 'Plain'\n"
    )
    with pytest.raises(ValueError, match="sampler: expected a name that no other algorithm has, got 'swap' of 'names.py:Swap'"):
        load_samplers(["names.py:Swap"])
    with pytest.raises(ValueError, match="expected a name that no other algorithm has, got 'Plain' of 'names.py:Plain'"):
        load_samplers(["names.py:Plain", "names.py:Twin"])
    assert "Plain" not in algorithms_module._register  # none of them
    load_samplers(["names.py:Plain"])
    with pytest.raises(ValueError, match="expected a name that no other algorithm has, got 'Plain' of 'names.py:Twin'"):
        load_samplers(["names.py:Twin"])


def test_importing_costs_nothing() -> None:
    """Neither torch nor anything else heavy is imported for the protocol."""
    code = "import sys, glassnf.compare.plugin; print(sorted({'torch', 'scipy', 'matplotlib', 'h5py'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- the problem -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ensemble() -> gnf.Ensemble:
    return gnf.Ensemble.random(SYSTEM, 3, 2.0, seed=4)


def problem_of(ensemble: gnf.Ensemble, **options: Any) -> Problem:
    return Problem.of(ensemble, 0.5, threads=1, **options)


def test_what_a_problem_says(ensemble: gnf.Ensemble) -> None:
    problem = problem_of(ensemble, seed=9, adaptation=30)
    assert (problem.temperature, problem.beta, problem.start_temperature) == (0.5, 2.0, 2.0)
    assert (problem.runs, problem.n, problem.dimension, problem.seed, problem.adaptation) == (3, 43, 2, 9, 30)
    assert (problem.threads, problem.device, problem.system) == (1, "cpu", SYSTEM)
    np.testing.assert_array_equal(problem.positions, ensemble.positions)
    np.testing.assert_array_equal(problem.species, ensemble.species)
    np.testing.assert_array_equal(problem.box, SYSTEM.box)
    assert problem.rng().random() == np.random.default_rng(9).random()
    for name in ("positions", "species", "box"):
        getattr(problem, name)[:] = 0  # a copy
    np.testing.assert_array_equal(problem.positions, ensemble.positions)
    np.testing.assert_allclose(problem.energy(problem.positions), ensemble.energy, rtol=FP64_REDUCTION, atol=1e-9)


SHAPES = [(), (1,), (3,), (5,), (2, 3), (4, 1), (0,), (2, 2, 3)]


@pytest.mark.parametrize("lead", SHAPES)
@pytest.mark.parametrize("kind", ["numpy", "torch", "float32"])
def test_energies_are_right_and_counted(ensemble: gnf.Ensemble, lead: tuple[int, ...], kind: str) -> None:
    """Every shape, in every kind of array: the energies of the configurations, at one evaluation each."""
    rng = np.random.default_rng(1)
    which = rng.integers(3, size=lead)
    positions, species = ensemble.positions[which], ensemble.species[which]
    given: Any = positions
    if kind == "torch":
        given = pytest.importorskip("torch").tensor(positions)
    elif kind == "float32":
        given = positions.astype(np.float32)
    problem = problem_of(ensemble)
    count = int(np.prod(lead))
    u = problem.energy(given, species)
    assert problem.evaluations == pytest.approx(count / 3)
    also, f = problem.energy_and_forces(given, species)
    assert problem.evaluations == pytest.approx(2 * count / 3)
    assert problem.pair_evaluations == pytest.approx(2 * count / 3 * 43 * 42 / 2)
    assert (type(u).__module__.split(".")[0], type(f).__module__.split(".")[0]) == (
        ("torch",) * 2 if kind == "torch" else ("numpy",) * 2
    )
    assert tuple(u.shape) == tuple(also.shape) == lead
    assert tuple(f.shape) == (*lead, 43, 2)
    exact = np.asarray(given, dtype=np.float64)
    for place in np.ndindex(*lead):
        expected, forces = gnf.energy_and_forces(SYSTEM, exact[place], species[place])
        np.testing.assert_allclose(np.asarray(u)[place], expected, rtol=FP64_REDUCTION)
        np.testing.assert_allclose(np.asarray(also)[place], expected, rtol=FP64_REDUCTION)
        np.testing.assert_allclose(np.asarray(f)[place], forces, rtol=FP64_REDUCTION, atol=1e-9)


def test_species_of_the_start(ensemble: gnf.Ensemble) -> None:
    """They belong to the runs: the last axis before the particles counts these."""
    problem = problem_of(ensemble)
    u = problem.energy(np.stack([ensemble.positions] * 4))
    np.testing.assert_allclose(u, np.stack([gnf.energy(SYSTEM, ensemble.positions, ensemble.species)] * 4), rtol=FP64_REDUCTION)
    for shape in ((43, 2), (6, 43, 2), (3, 1, 43, 2)):
        with pytest.raises(ValueError, match="species: expected species for positions of shape .*not one for each of 3 runs"):
            problem.energy(np.zeros(shape))
    assert problem.evaluations == 4


def test_gradients(ensemble: gnf.Ensemble) -> None:
    """Autograd through a counted energy gives minus the force, and the backward pass costs nothing more."""
    torch = pytest.importorskip("torch")
    problem = problem_of(ensemble)
    for dtype in (torch.float64, torch.float32):
        x = torch.tensor(np.stack([ensemble.positions] * 2), dtype=dtype, requires_grad=True)
        before = problem.evaluations
        problem.energy(x).sum().backward()
        assert problem.evaluations == before + 2
        _, forces = problem.energy_and_forces(x)
        assert x.grad.dtype == dtype
        np.testing.assert_allclose(x.grad, -forces.to(dtype), rtol=1e-12, atol=1e-9)


def test_charges(ensemble: gnf.Ensemble) -> None:
    problem = problem_of(ensemble)
    problem.charge(6)
    assert (problem.evaluations, problem.pair_evaluations) == (2.0, 2.0 * 903)
    problem.charge(1.5, pair_evaluations=30)
    assert (problem.evaluations, problem.pair_evaluations) == (2.5, 2.0 * 903 + 10)
    for bad in (-1, np.nan, "x"):
        with pytest.raises((ValueError, TypeError), match="configurations: expected a non-negative finite number"):
            problem.charge(bad)
    with pytest.raises(ValueError, match="pair_evaluations: expected a non-negative finite number"):
        problem.charge(1, -1.0)
    assert problem.evaluations == 2.5


def test_pairs_of_large_boxes() -> None:
    """Of 13 by 13 cells a particle's neighbours are in 9. (Lists make molecular dynamics look at 19 000 pairs, not 44 000.)"""
    assert pairs_of(SYSTEM) == 903
    assert pairs_of(gnf.systems.ka2d(1290)) == pytest.approx(1290 * 1289 / 2 * 9 / 169)
    assert pairs_of(gnf.systems.ka2d(210)) == pytest.approx(210 * 209 / 2 * 9 / 25)
    assert pairs_of(gnf.systems.ka2d(80)) == 80 * 79 / 2  # three cells a side are all neighbours


@pytest.mark.parametrize(
    ("positions", "species", "message"),
    [
        (np.zeros((3, 42, 2)), None, r"positions: expected shape \(\.\.\., 43, 2\), got \(3, 42, 2\)"),
        (np.zeros(5), None, r"positions: expected shape \(\.\.\., 43, 2\), got \(5,\)"),
        (np.full((3, 43, 2), np.nan), None, "positions: expected finite coordinates"),
        (np.zeros((3, 43, 2), dtype=int), None, "positions: expected an array of type float64"),
        (np.zeros((3, 43, 2), dtype=complex), None, "positions: expected an array of type float64"),
        (
            np.zeros((3, 43, 2)),
            np.zeros((2, 43), dtype=int),
            r"species: expected shape \(3, 43\) or one that spreads to it, got \(2, 43\)",
        ),
        (np.zeros((3, 43, 2)), np.zeros(42, dtype=int), r"species: expected shape \(3, 43\) or one"),
        (np.zeros((43, 2)), np.zeros((1, 43), dtype=int), r"species: expected shape \(43,\) or one"),
        (np.zeros((3, 43, 2)), np.zeros(43), "species: expected integers, got type float64"),
        (np.zeros((3, 43, 2)), np.full(43, 3), "species: expected indices from 0 to 2, got 3"),
    ],
)
def test_bad_configurations_cost_nothing(ensemble: gnf.Ensemble, positions: Any, species: Any, message: str) -> None:
    problem = problem_of(ensemble)
    for function in (problem.energy, problem.energy_and_forces):
        with pytest.raises((TypeError, ValueError), match=message):
            function(positions, species)
    assert problem.evaluations == problem.pair_evaluations == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature: expected a positive finite number"),
        ({"positions": np.zeros((2, 42, 2))}, "positions: expected shape"),
        ({"species": np.zeros((2, 42), dtype=int)}, "species: expected shape"),
        ({"species": np.full((2, 43), 7)}, "species: expected integers from 0 to 2, got 7"),
        ({"seed": -1}, "seed: expected a non-negative integer"),
        ({"threads": 0}, "threads: expected a positive integer"),
        ({"adaptation": -1}, "adaptation: expected a non-negative integer"),
        ({"start_temperature": "hot"}, "start_temperature: expected a positive finite number"),
    ],
)
def test_bad_problems(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"temperature": 1.0, "positions": np.zeros((2, 43, 2)), "species": np.zeros((2, 43), dtype=int)}
    with pytest.raises((ValueError, TypeError), match=message):
        Problem(SYSTEM, **{**arguments, **options})


# ---- on a GPU ----------------------------------------------------------------------------------------------------------------


def test_energies_of_arrays_on_a_gpu(ensemble: gnf.Ensemble, cupy: Any) -> None:
    problem = Problem.of(ensemble.to("cuda:1"), 0.5)
    assert problem.device == "cuda:1"
    assert isinstance(problem.positions, np.ndarray)
    expected, forces = gnf.energy_and_forces(SYSTEM, ensemble.positions, ensemble.species)
    with cupy.cuda.Device(1):
        x, s = cupy.asarray(problem.positions), cupy.asarray(problem.species)
    for species in (None, s):
        u, f = problem.energy_and_forces(x, species)
        assert u.device.id == f.device.id == 1
        np.testing.assert_array_equal(u.get(), expected)
        np.testing.assert_array_equal(f.get(), forces)
    assert problem.energy(x).device.id == 1
    assert problem.evaluations == 3


def test_samples_on_a_gpu(ensemble: gnf.Ensemble, cupy: Any) -> None:
    """Starts on the GPU, samples on the GPU: the energies are the same."""

    class Still:
        def __init__(self, problem: Problem) -> None:
            self.problem = problem
            with cupy.cuda.Device(1):
                self.positions = cupy.asarray(problem.positions)

        def run(self, budget: int) -> Any:
            self.problem.charge(3 * (budget - self.problem.evaluations))
            yield Samples(self.positions)
            yield Samples(self.positions, cupy.asarray(self.problem.species))

    algorithm = SamplerAlgorithm(Still, "still", SYSTEM, 0.5, RunOptions(threads=1))
    algorithm.prepare(ensemble.to("cuda:1"))
    estimate = algorithm.advance(100)
    np.testing.assert_array_equal(estimate.mean_energy, gnf.energy(SYSTEM, ensemble.positions, ensemble.species) / 43)
