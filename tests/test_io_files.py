"""Atomic replacement of files."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from glassnf.io import FileFormatError, atomic_write
from glassnf.io.files import existing_file

needs_symlinks = pytest.mark.skipif(os.name != "posix", reason="symbolic links and permissions of POSIX")


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("first", "second"):
        with atomic_write(path) as temporary:
            assert temporary.parent == path.parent
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failing_body_leaves_the_old_file(tmp_path: Path, error: type[BaseException], existing: bool) -> None:
    path = tmp_path / "a.txt"
    if existing:
        path.write_text("old")
    with pytest.raises(error), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error
    assert os.listdir(tmp_path) == (["a.txt"] if existing else [])
    assert not existing or path.read_text() == "old"


@pytest.mark.parametrize("function", ["replace", "fsync", "chmod"])
def test_a_failing_system_call_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space left"), atomic_write(path) as temporary:
        temporary.write_text("new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_data_is_flushed_before_the_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for function in ("fsync", "replace"):
        real = getattr(os, function)

        def spy(*arguments: Any, name: str = function, call: Any = real) -> Any:
            calls.append(name)
            return call(*arguments)

        monkeypatch.setattr(os, function, spy)
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert calls == (["fsync", "replace", "fsync"] if os.name == "posix" else ["fsync", "replace"])


@needs_symlinks
def test_a_symbolic_link_stays(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target, link = folder / "target.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    for text in ("made", "replaced"):  # the first one finds a dangling link
        with atomic_write(link) as temporary:
            temporary.write_text(text)
        assert link.is_symlink()
        assert target.read_text() == text
    assert os.listdir(folder) == ["target.txt"]


@needs_symlinks
def test_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    old = os.umask(0o027)
    try:
        with atomic_write(path) as temporary:
            temporary.write_text("new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        with atomic_write(path) as temporary:
            temporary.write_text("newer")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(old)


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 255)
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_bad_targets(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="^path: expected a name in an existing folder"),
        atomic_write(tmp_path / "b" / "c"),
    ):
        pass
    with pytest.raises(IsADirectoryError, match="^path: expected a file name, got the folder"), atomic_write(tmp_path):
        pass
    with pytest.raises(TypeError, match=r"^path: expected a file name, got 3 \(int\)"), atomic_write(3):  # type: ignore[arg-type]
        pass


def test_existing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="^path: expected an existing file"):
        existing_file(tmp_path / "a")
    (tmp_path / "a").touch()
    assert existing_file(str(tmp_path / "a")) == tmp_path / "a"
    with pytest.raises(FileNotFoundError, match="^path: expected an existing file"):
        existing_file(tmp_path / "a" / "b")
    with pytest.raises(FileFormatError, match="^path: expected a regular file"):
        existing_file(tmp_path)
    with pytest.raises(TypeError, match="^path: expected a file name, got None"):
        existing_file(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^path: expected a file name"):
        existing_file("a\0b")
