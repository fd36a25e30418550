"""The developer's menu: ``nox -l`` lists the sessions; without arguments: tests, lint, typing, stubs."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.3"
nox.options.sessions = ["tests", "lint", "typing", "stubs"]
nox.options.default_venv_backend = "venv"

PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
CONSTRAINED = ("-c", "constraints.txt")
SANITIZED_TESTS = [
    f"tests/test_{name}.py" for name in ("energy", "monte_carlo_invariants", "threads", "large_steps", "flow_native")
]
FUZZED = (
    "hdf5", "hdf5_content", "training", "gsd", "gsd_content", "extxyz", "lammps", "system_toml", "system_json", "config",
    "comparison", "part", "flow",
)  # fmt: skip
_NO_FINDINGS = "import pathlib, sys; sys.exit('\\n'.join(map(str, pathlib.Path('build/fuzz/findings').iterdir())) or 0)"
CPP_SOURCES = ("*.hpp", "*.cpp", "*.cu", "*.c")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Install the package and run the Python tests; arguments go to pytest."""
    session.install(*CONSTRAINED, ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, and clang-format where it is installed."""
    session.install(*CONSTRAINED, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    if shutil.which("clang-format"):
        folders = (Path(name) for name in ("cpp", "cuda", "bench", "tests/cpp"))
        files = sorted(str(file) for folder in folders for pattern in CPP_SOURCES for file in folder.rglob(pattern))
        session.run("clang-format", "--dry-run", "-Werror", *files, external=True)


@nox.session
def typing(session: nox.Session) -> None:
    """Run mypy in strict mode."""
    session.install(*CONSTRAINED, ".", "mypy")
    session.run("mypy")


def _ctest(session: nox.Session, preset: str, **environment: str) -> None:
    session.install(*CONSTRAINED, "cmake", "ninja")
    session.run("cmake", "--preset", preset)
    session.run("cmake", "--build", "--preset", preset)
    session.run("ctest", "--preset", preset, env=environment)


@nox.session
def cpp(session: nox.Session) -> None:
    """Build and run the C++ tests (needs doctest)."""
    _ctest(session, "tests")


@nox.session
def sanitizers(session: nox.Session) -> None:
    """Run C++ and Python tests under the sanitizers of GCC: address, undefined behaviour, thread (needs doctest and gcc)."""
    _ctest(session, "address", ASAN_OPTIONS="detect_leaks=1", UBSAN_OPTIONS="print_stacktrace=1")
    _ctest(session, "thread", TSAN_OPTIONS="halt_on_error=1")
    session.install(*CONSTRAINED, ".[test]", "pybind11")
    session.run("bash", "tests/sanitized.sh", "build/sanitized", *(session.posargs or SANITIZED_TESTS), external=True)


@nox.session
def memory(session: nox.Session) -> None:
    """Call every entry point ten thousand times and see that memory stays flat; a quarter of an hour."""
    session.install(*CONSTRAINED, ".[test]")
    session.run("pytest", "-m", "slow", "tests/test_memory.py")


@nox.session
def stubs(session: nox.Session) -> None:
    """Compare the type stub with the module; ``nox -s stubs -- show`` also prints what pybind11-stubgen makes of it."""
    session.install(*CONSTRAINED, ".[test]", "pybind11-stubgen")
    session.run("pytest", "tests/test_stubs.py")
    if "show" in session.posargs:
        folder = session.create_tmp()
        arguments = ("--enum-class-locations", "Stream:glassnf._core", "-o", folder)
        session.run("python", "-m", "pybind11_stubgen", "glassnf._core", *arguments)
        session.log(Path(folder, "glassnf", "_core.pyi").read_text(encoding="utf-8"))


@nox.session
def cuda(session: nox.Session) -> None:
    """Compile the CUDA backend for all architectures, warnings as errors; needs nvcc, takes twenty minutes on two cores."""
    session.install(*CONSTRAINED, "cmake", "ninja")
    options = ("-G", "Ninja", "-DGLASSNF_PYTHON=OFF", "-DGLASSNF_CUDA=ON")
    session.run("cmake", "-S", ".", "-B", "build/cuda", *options)
    session.run("cmake", "--build", "build/cuda")


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Fuzz every reader for ten minutes each, then sweep all wrong arguments; ``nox -s fuzz -- 60 gsd flow`` for less."""
    session.install(*CONSTRAINED, ".[test]", "atheris")
    seconds = session.posargs[0] if session.posargs else "600"
    names = session.posargs[1:] or FUZZED
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": "tests"}
    report = ("--report", "build/fuzz/report.json")
    codes = (0, 1)  # all readers are fuzzed, whatever is found in one; what was found is in build/fuzz/findings
    for name in names:
        session.run("python", "tests/fuzz/run.py", name, "--seconds", seconds, *report, env=environment, success_codes=codes)
    session.run("python", "-c", _NO_FINDINGS)
    if not session.posargs:
        session.run("python", "-m", "bad_input.sweep", env=environment)
        session.run("pytest", "tests/test_bad_options.py", "-m", "slow")


@nox.session
def build(session: nox.Session) -> None:
    """Make sdist and wheel and check their contents and size."""
    session.install(*CONSTRAINED, "build")
    folder = Path(session.create_tmp(), "dist")
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(folder), ".")
    session.run("python", ".ci/check_distribution.py", str(folder))


@nox.session
def certify(session: nox.Session) -> None:
    """Certify a fresh installation; arguments go to the command, ``--quick`` for a minute of one core."""
    session.install(*CONSTRAINED, ".[analysis,flow]")
    session.run("glassnf", "certify", *session.posargs)


@nox.session
def mutations(session: nox.Session) -> None:
    """Apply deliberate errors to a copy of the source and see that each is caught; half an hour on two cores."""
    session.install(*CONSTRAINED, ".[test]", "cmake", "ninja", "pybind11")
    session.run("python", "tests/mutations/run.py", *session.posargs)


@nox.session
def kills(session: nox.Session) -> None:
    """Kill every algorithm 100 times; result in bench/results, table in docs/restart.md; half an hour on a quiet machine."""
    session.install(*CONSTRAINED, ".[test]")
    result = ("-o", "bench/results/kills.json")
    arguments = session.posargs or ("--kills", "100", "--at-calls", "20")
    session.run("python", "tests/kill_harness.py", *arguments, *result)
    session.run("python", "tests/kill_harness.py", *result, "--write", "docs/restart.md")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the Python benchmarks and print their report; minutes, on a quiet machine."""
    session.install(*CONSTRAINED, ".[flow]")
    results = Path("bench/results")
    results.mkdir(exist_ok=True)
    for name in session.posargs or ("monte_carlo", "energy", "kernels"):
        session.run("python", f"bench/{name}.py", "-o", str(results / f"{name}.json"))
    session.run("python", "bench/report.py")
