"""Every option of every command with bad values: exit code 2, one sentence, no traceback, and nothing is written.

What is drawn are command lines. The commands are stopped where their work would begin, as what comes before is what is tested.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from glassnf import cli

BAD_TEXT = (
    "", " ", "x", "nan", "inf", "-inf", "-1", "0", "1e400", "1e308", "5e-324", "1e12", "1000000000000000000000",
    "-1e-9", "0x10", "1,2", ",", "a:b", "1:2", "1:2:3:4", "0.3:0.3:5", "2:1:5", "0.3:1:1000000000000", "0.5,0.5",
    "1_000", "٣", "½", "1e3e3", "é" * 300, "\x1b[31mred", "a\nb", "../../../etc/passwd", "/dev/zero", "/dev/null",
    "/nowhere/at/all.h5", ".", "/", "~", "$HOME", "$(touch pwned)", "'; import os", "None", "True", "[]", "{}", "--",
    "-", "cuda:99", "cuda:-1", "%s%s%s", "\udcff", "a" * 5000, "file.toml", "file.json", "no:Such", "os:system",
    "missing.py:Class",
)  # fmt: skip
"""Values that hardly an option takes; where one does, the command goes on and is stopped."""

BASE = {
    "sample": ["--system", "ka2d", "-T", "0.5", "--sweeps", "20", "--replicas", "2", "-o", "out.h5"],
    "train": ["--hot", "1.0", "--cold", "0.8", "-o", "out.safetensors"],
    "compare": ["-T", "0.5", "-o", "results"],
    "certify": ["-o", "certificate.json"],
    "info": [],
}
"""Valid options of each command; a new command has to be added here."""

_SETTINGS = settings(
    deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


class Reached(Exception):
    """The work of a command would begin now."""


def _commands() -> dict[str, Any]:
    return dict(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]


def _options() -> list[tuple[str, str, bool]]:
    """Return (command, option, takes a value) for every option of every command."""
    found = []
    for name, command in _commands().items():
        for parameter in command.params:
            flag = bool(getattr(parameter, "is_flag", False))
            found += [(name, option, not flag) for option in parameter.opts]
    return found


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    """Raise `Reached` where the commands begin to work."""
    from glassnf import certify, ensemble, flows
    from glassnf.compare import runner

    def stop(*_: Any, **__: Any) -> Any:
        raise Reached

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ensemble, "random_ensemble", stop)
        patch.setattr(flows, "train", stop)
        patch.setattr(runner, "compare_in_parts", stop)
        patch.setattr(certify, "certify", stop)
        patch.setattr(
            typer.main, "get_command", functools.cache(typer.main.get_command)
        )  # made once, not for each command line
        yield


def _snapshot(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def run(arguments: list[str]) -> tuple[int | None, str, str]:
    """Return exit code, None where the work was reached, and what was written to the standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: int | None = cli.run(arguments)
        except Reached:
            code = None
    return code, out.getvalue(), err.getvalue()


def test_all_commands_are_here() -> None:
    assert sorted(_commands()) == sorted(BASE)
    assert len(_options()) > 80


@pytest.mark.parametrize("command", sorted(BASE))
@settings(_SETTINGS, max_examples=25)
@given(draw=st.data())
def test_bad_values(command: str, draw: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    option, takes_value = draw.draw(st.sampled_from([(o, v) for c, o, v in _options() if c == command]))
    value = draw.draw(st.sampled_from(BAD_TEXT))
    more = [option, value] if takes_value else [option]
    check(command, more, tmp_path_factory.mktemp("bad"), json_too=draw.draw(st.booleans()))


@pytest.mark.slow
@pytest.mark.parametrize("command, option, takes_value", _options())
def test_all_bad_values(command: str, option: str, takes_value: bool, tmp_path: Path) -> None:
    for value in BAD_TEXT if takes_value else ("",):
        for json_too in (False, True):
            check(command, [option, value] if takes_value else [option], tmp_path, json_too=json_too)


def check(command: str, more: list[str], folder: Path, *, json_too: bool) -> None:
    """Run a command with options that it hardly takes, and check how it answers."""
    arguments = [command, *BASE[command], *more, *(["--json"] if json_too else [])]
    before = _snapshot(folder)
    with _inside(folder):
        code, out, err = run(arguments)
    if code in (None, 0):
        return
    assert code == 2, (arguments, code, err)
    assert err.startswith("glassnf: error: "), (arguments, err)
    assert err.count("\n") == 1, (arguments, err)
    sentence = err[len("glassnf: error: ") : -1]
    assert sentence.isprintable(), (arguments, err)
    assert 5 < len(sentence) < 4100, (arguments, err)
    assert "Traceback" not in err, (arguments, err)
    assert _snapshot(folder) - before <= {"results", "results/.glassnf-compare.lock"}, (arguments, err)
    if json_too:
        assert json.loads(out)["error"] == {"message": sentence, "exit_code": 2}


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
