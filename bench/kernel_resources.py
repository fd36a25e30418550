"""What every CUDA kernel takes of a multiprocessor: registers, shared memory, stack, spills, constants; a table for docs/.

The numbers are the compiler's own, from one of three sources:

- ``--module FILE``, by default the extension that Python finds, read by cuobjdump (of the CUDA toolkit, or of the package
  nvidia-cuda-cuobjdump); it knows constants but not spills, which are part of its stack column;
- ``--log FILE``, the output of a build with ``nvcc -Xptxas -v``;
- ``--compile``: nvcc compiles cuda/*.cu with the flags of CMakeLists.txt, which takes minutes and needs nothing else. With
  cuobjdump beside it the table is complete.

    python bench/kernel_resources.py --compile                 # writes docs/cuda_kernels.md
    python bench/kernel_resources.py --compile --check         # compares with it: status 1 if anything differs
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "cuda_kernels.md"
BEGIN, END = "<!-- kernels: begin -->", "<!-- kernels: end -->"
ARCHITECTURES = "80-real;90-real"  # CMakeLists.txt; PTX has no registers to count
POTENTIALS = ("LennardJones", "InversePower", "Harmonic")  # a source that names GLASSNF_POTENTIAL is compiled for each
FLAGS = ("-std=c++20", "-O3", "-DNDEBUG", "--fmad=false")  # those of CMakeLists.txt that reach the device code
RESERVED_SHARED = 1024  # bytes that the system takes of each block from compute capability 9.0 on; only cuobjdump counts them

HEADER = """# Resources of the CUDA kernels

The compiler's report on every kernel, written by `python bench/kernel_resources.py --compile`; with `--check` it compares
instead. Registers are those of one thread: a multiprocessor has 65536, which bounds how many warps it can hold. Shared memory
is what a kernel declares; its launch may ask for more. Spills are bytes that did not fit into registers and go to local memory;
there should be none.
"""


@dataclass(frozen=True)
class Resources:
    """Of one kernel on one architecture; None where the source does not tell."""

    registers: int | None = None
    shared: int | None = None
    stack: int | None = None
    spill_stores: int | None = None
    spill_loads: int | None = None
    constant: int | None = None


Table = dict[tuple[str, str], Resources]  # by kernel, architecture
COLUMNS = {
    "registers": "registers",
    "shared": "shared memory, bytes",
    "stack": "stack, bytes",
    "spill_stores": "spill stores, bytes",
    "spill_loads": "spill loads, bytes",
    "constant": "constants, bytes",
}


# ---- names -------------------------------------------------------------------------------------------------------------------


def demangled(names: Iterable[str]) -> dict[str, str]:
    """Readable names, by c++filt or cu++filt; the mangled ones where there is neither."""
    given = sorted(set(names))
    program = shutil.which("c++filt") or shutil.which("cu++filt")
    if program is None or not given:
        return {name: name for name in given}
    done = subprocess.run([program], input="\n".join(given), capture_output=True, text=True, check=True)
    return {name: short(full) for name, full in zip(given, done.stdout.splitlines(), strict=True)}


def short(name: str) -> str:
    """A demangled kernel without return type, parameters, namespaces and casts in its template arguments."""
    name = name.replace("(anonymous namespace)::", "")
    depth = 0
    for place, character in enumerate(name):  # the parameters begin at the first parenthesis outside template arguments
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "(" and depth == 0 and place:
            name = name[:place]
            break
    name = re.sub(r"\((?:unsigned )?(?:int|bool|long|char)\)", "", name)
    name = re.sub(r"\b(?:\w+::)+", "", name)
    return name.split("void ", 1)[-1].strip()


# ---- sources -----------------------------------------------------------------------------------------------------------------


def from_log(text: str) -> Table:
    """Read what ptxas prints with -v."""
    table: Table = {}
    key: tuple[str, str] | None = None
    for line in text.splitlines():
        if found := re.search(r"Compiling entry function '(\S+)' for '(sm_\w+)'", line):
            key = (found[1], found[2])
            table[key] = Resources(shared=0)
        elif key is None:
            continue
        elif found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            # A function that is not inlined has a line of its own before the kernel's "Used"; the kernel's comes first.
            if table[key].stack is None:
                stack, stores, loads = (int(word) for word in found.groups())
                table[key] = replace(table[key], stack=stack, spill_stores=stores, spill_loads=loads)
        elif found := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+)(?:\+\d+)? bytes smem", line)
            constant = re.search(r"(\d+) bytes cmem\[0\]", line)
            table[key] = replace(
                table[key],
                registers=int(found[1]),
                shared=int(shared[1]) if shared else 0,
                constant=int(constant[1]) if constant else None,
            )
            key = None
    return table


def from_cuobjdump(text: str) -> Table:
    """Read what cuobjdump --dump-resource-usage prints; one listing may hold several architectures."""
    table: Table = {}
    architecture, name = "?", ""
    for line in text.splitlines():
        if found := re.search(r"^\s*arch = (sm_\w+)", line):
            architecture = found[1]
        elif found := re.search(r"^\s*Function (\S+):", line):
            name = found[1]
        elif name and (found := re.search(r"^\s*REG:(\d+)", line)):
            numbers = {key: int(value) for key, value in re.findall(r"([A-Z]+(?:\[\d+\])?):(\d+)", line)}
            shared = numbers.get("SHARED", 0)
            if int(re.sub(r"\D", "", architecture) or 0) >= 90 and shared >= RESERVED_SHARED:
                shared -= RESERVED_SHARED
            # Constants that hold the arguments of the launch: bank 0.
            table[name, architecture] = Resources(
                registers=numbers["REG"],
                shared=shared,
                stack=max(numbers.get("STACK", 0), numbers.get("LOCAL", 0)),
                constant=numbers.get("CONSTANT[0]"),
            )
            name = ""
    return table


def cuobjdump() -> str | None:
    """Find the program: on the path, beside nvcc, in the toolkit's usual place, or in a Python package."""
    folders = [os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/bin"]
    package = importlib.util.find_spec("nvidia")
    for place in package.submodule_search_locations or () if package else ():
        folders += [str(folder) for folder in Path(place).glob("*/bin")]
    return shutil.which("cuobjdump") or shutil.which("cuobjdump", path=os.pathsep.join(folders))


def dumped(file: Path) -> Table:
    program = cuobjdump()
    if program is None:
        sys.exit("cuobjdump: expected it on the path (CUDA toolkit or package nvidia-cuda-cuobjdump), or --log or --compile")
    command = [program, "--dump-resource-usage", str(file)]
    return from_cuobjdump(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compiled(job: tuple[Path, str], architectures: Iterable[str], folder: Path) -> Table:
    """Compile one file for one potential and read the report; add the constants from the object if cuobjdump is there."""
    source, potential = job
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    target = folder / f"{source.stem}{potential}.o"
    codes = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in architectures]
    includes = [f"-I{ROOT / name}" for name in ("cpp/include", "cpp/src", "cuda")]
    macros = [f"-DGLASSNF_POTENTIAL={potential}"] if potential else []
    command = [nvcc, *FLAGS, *macros, *codes, *includes, "-Xptxas=-v", "-c", "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    table = from_log(done.stdout + done.stderr)
    if cuobjdump() is None:
        return table
    constants = {key: found.constant for key, found in dumped(target).items()}
    return {key: replace(found, constant=constants.get(key, found.constant)) for key, found in table.items()}


def compile_all(architectures: list[str]) -> Table:
    jobs: list[tuple[Path, str]] = []
    for source in sorted((ROOT / "cuda").glob("*.cu")):
        jobs += [
            (source, name) for name in (POTENTIALS if "GLASSNF_POTENTIAL" in source.read_text(encoding="utf-8") else ("",))
        ]
    table: Table = {}
    with tempfile.TemporaryDirectory(prefix="glassnf-kernels-") as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        work = functools.partial(compiled, architectures=architectures, folder=Path(folder))
        for found in pool.map(work, jobs):
            table |= found
    return table


def extension() -> Path:
    """Find the extension module without importing it."""
    spec = importlib.util.find_spec("glassnf._core")
    if spec is None or spec.origin is None:
        sys.exit("glassnf._core: expected an installed extension, or --module, --log or --compile")
    return Path(spec.origin)


# ---- the document ------------------------------------------------------------------------------------------------------------


def readable(table: Table) -> Table:
    """Give the kernels of glassnf, not those of libraries, short names; copies of a kernel in several objects are one row."""
    names = demangled(name for name, _ in table if "glassnf" in name)
    found: Table = {}
    for (name, architecture), resources in sorted(table.items()):
        if name not in names:
            continue
        key = (names[name], architecture)
        while key in found and found[key] != resources:  # names that differ in what was left out
            key = (key[0] + "'", architecture)
        found[key] = resources
    return dict(sorted(found.items()))


def markdown(table: Table) -> str:
    lines = ["| kernel | architecture | " + " | ".join(COLUMNS.values()) + " |", "| --- | --- |" + " ---: |" * len(COLUMNS)]
    for (name, architecture), resources in table.items():
        words = ["" if (value := getattr(resources, column)) is None else str(value) for column in COLUMNS]
        lines.append(f"| `{name}` | {architecture} | " + " | ".join(words) + " |")
    return "\n".join(lines)


def parsed(text: str) -> Table:
    """Read a table that `markdown` wrote."""
    table: Table = {}
    for line in text.splitlines():
        words = [word.strip() for word in line.strip().strip("|").split(" | ")]
        if len(words) == 2 + len(COLUMNS) and words[0].startswith("`"):
            numbers = [int(word) if word.isdigit() else None for word in words[2:]]
            table[words[0].strip("`"), words[1]] = Resources(*numbers)
    return table


def differences(found: Table, expected: Table) -> list[str]:
    """Say what differs; numbers that one of the two does not have are not compared."""
    lines = [f"not in the document: {', '.join(key)}" for key in found if key not in expected]
    lines += [f"only in the document: {', '.join(key)}" for key in expected if key not in found]
    for key in sorted(found.keys() & expected.keys()):
        for field in fields(Resources):
            new, old = getattr(found[key], field.name), getattr(expected[key], field.name)
            if None not in (new, old) and new != old:
                lines.append(f"{', '.join(key)}: {field.name} {new}, in the document {old}")
    return lines


def compiler_version() -> str:
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    try:
        text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "an unknown version of nvcc"
    found = re.search(r"release [\d.]+, V([\d.]+)", text)
    return f"nvcc {found[1]}" if found else "an unknown version of nvcc"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--log", type=Path, help="output of a build with nvcc -Xptxas -v")
    source.add_argument("--module", type=Path, help="library, object or cubin to read with cuobjdump; default: the extension")
    source.add_argument("--compile", action="store_true", help="compile cuda/*.cu with nvcc")
    parser.add_argument("--architectures", default=ARCHITECTURES, help="for --compile (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="compare with the document, and do not write")
    parser.add_argument("-o", "--output", type=Path, default=DOCUMENT, help="document (default: %(default)s)")
    options = parser.parse_args()
    if options.log is not None:
        table = from_log(options.log.read_text(encoding="utf-8", errors="replace"))
    elif options.compile:
        numbers = [word.partition("-")[0] for word in options.architectures.split(";") if not word.endswith("-virtual")]
        table = compile_all(numbers)
    else:
        table = dumped(options.module or extension())
    table = readable(table)
    if not table:
        sys.exit("no CUDA kernels found")
    if options.check:
        lines = differences(table, parsed(options.output.read_text(encoding="utf-8")))
        print("\n".join(lines) or f"{len(table)} kernels as in {options.output.name}")
        sys.exit(1 if lines else 0)
    text = f"{HEADER}\nCompiled by {compiler_version()}.\n\n{BEGIN}\n\n{markdown(table)}\n\n{END}\n"
    options.output.write_text(text, encoding="utf-8")
    print(f"{len(table)} kernels in {options.output}")


if __name__ == "__main__":
    main()
