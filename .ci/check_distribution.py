"""Check that the sdist holds exactly the files it should, and that the wheel is complete and small.

python .ci/check_distribution.py DIST, where DIST is a folder with one sdist and one wheel.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY_ONLY = (".ci/", ".github/", ".gitignore", ".pre-commit-config.yaml", "bench/results/", "docs/images/")
WHEEL_LIMIT = 5_000_000


def only(folder: Path, pattern: str) -> Path:
    """Return the one file of this pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise SystemExit(f"{folder}: expected one {pattern}, found {len(found)}")
    return found[0]


def source_files() -> set[str]:
    """Return the files of the repository that belong into the sdist."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return {name for name in listed if name and not name.startswith(REPOSITORY_ONLY) and (ROOT / name).is_file()}


def check_sdist(path: Path) -> list[str]:
    """Return what is wrong with the sdist."""
    with tarfile.open(path) as archive:
        members = [member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()]
    try:
        expected = source_files() | {"PKG-INFO"}
    except (OSError, subprocess.CalledProcessError):
        print("not a git repository: the list of files in the sdist is not checked")
        return []
    faults = [f"sdist: {name} should not be there" for name in sorted(set(members) - expected)]
    return faults + [f"sdist: {name} is missing" for name in sorted(expected - set(members))]


def check_wheel(path: Path) -> list[str]:
    """Return what is wrong with the wheel."""
    with zipfile.ZipFile(path) as archive:
        members = set(archive.namelist())
    package = [file for file in (ROOT / "python/glassnf").rglob("*") if file.is_file() and file.suffix not in (".pyc", ".so")]
    expected = {f"glassnf/{file.relative_to(ROOT / 'python/glassnf')}" for file in package}
    faults = [f"wheel: {name} is missing" for name in sorted(expected - members)]
    extensions = {name for name in members if name.startswith("glassnf/_core.") and name.endswith(".so")}
    if len(extensions) != 1:
        faults.append(f"wheel: expected one extension module, found {sorted(extensions)}")
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in members):
        faults.append("wheel: LICENSE is missing")
    others = {name for name in members - expected - extensions if ".dist-info/" not in name}
    faults += [f"wheel: {name} should not be there" for name in sorted(others)]
    if path.stat().st_size >= WHEEL_LIMIT:
        faults.append(f"wheel: {path.stat().st_size} bytes, expected less than {WHEEL_LIMIT}")
    return faults


def main() -> int:
    """Check both and report."""
    folder = Path(sys.argv[1])
    sdist, wheel = only(folder, "*.tar.gz"), only(folder, "*.whl")
    faults = check_sdist(sdist) + check_wheel(wheel)
    print(f"{sdist.name}: {sdist.stat().st_size / 1e6:.2f} MB; {wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB")
    print("\n".join(faults) if faults else "distribution: as it should be")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
