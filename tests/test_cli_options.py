"""Options from the command line and from a file: values, precedence, and errors that say what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from glassnf.cli import app, run
from glassnf.cli._errors import CommandError
from glassnf.cli._options import Option, choose, flag, floats, fraction, integer, positive, words

pytestmark = pytest.mark.usefixtures("undrawn")

OPTIONS = (
    Option("replicas", integer(1), 64),
    Option("temperature", floats, None, "T"),
    Option("swap-probability", fraction),
    Option("checkpoint-every", positive, 60.0),
    Option("algorithms", words, ("mc",)),
    Option("quiet", flag, False),
)


def _file(folder: Path, content: str) -> str:
    path = folder / "options.toml"
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_defaults_and_command_line() -> None:
    choices = choose(OPTIONS, {"replicas": None, "temperature": ("0.5,0.4", "0.3"), "quiet": False}, None)
    assert choices["replicas"] == 64
    assert choices["temperature"] == (0.5, 0.4, 0.3)
    assert choices["swap-probability"] is None
    assert choices.explicit == {"temperature"}


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    config = _file(tmp_path, 'replicas = 8\nT = [0.5, 0.4]\n"swap_probability" = 1\nquiet = true\nalgorithms = "mc, swap"\n')
    choices = choose(OPTIONS, {"replicas": "1e2"}, config)
    assert choices.values == {
        "replicas": 100,
        "temperature": (0.5, 0.4),
        "swap-probability": 1.0,
        "checkpoint-every": 60.0,
        "algorithms": ("mc", "swap"),
        "quiet": True,
    }
    assert choices.explicit == {"replicas", "temperature", "swap-probability", "algorithms", "quiet"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("replcas = 8", "unknown key 'replcas'; did you mean 'replicas'?"),
        ("zzz = 8", "unknown key 'zzz', expected one of replicas, temperature"),
        ("replicas = 2.5", "replicas: expected an integer of at least 1, got 2.5"),
        ("replicas = true", "replicas: expected an integer of at least 1, got True"),
        ("replicas = 0", "replicas: expected an integer of at least 1, got 0"),
        ("quiet = 1", "quiet: expected True or False, got 1"),
        ("T = 0.3\ntemperature = 0.3", "the key 'temperature' is given twice"),
        ("T = nan", "temperature: expected a positive finite number, got nan"),
        ("= 3", "expected a TOML file, got text that is not"),
        ("[replicas]\na = 1", "replicas: expected an integer of at least 1, got {'a': 1} (dict)"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        choose(OPTIONS, {}, _file(tmp_path, content))
    assert message in caught.value.message
    assert caught.value.message.startswith(str(tmp_path / "options.toml"))
    assert caught.value.code == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="expected an existing file"):
        choose(OPTIONS, {}, str(tmp_path / "none.toml"))


def _value_or_message(parameter: str, key: str, text: str) -> Any:
    try:
        return choose(OPTIONS, {parameter: text}, None)[key]
    except CommandError as error:
        return error.message


@given(st.text(max_size=12))
@settings(deadline=None, max_examples=100)
def test_any_text_is_a_positive_number_or_an_error_that_names_the_option(text: str) -> None:
    found = _value_or_message("checkpoint_every", "checkpoint-every", text)
    if isinstance(found, str):
        assert found.startswith("--checkpoint-every: expected a positive finite number, got ")
    else:
        assert isinstance(found, float)
        assert 0.0 < found < float("inf")


@given(st.one_of(st.integers(-(10**30), 10**30), st.floats(), st.booleans()))
@settings(deadline=None, max_examples=100)
def test_any_number_is_an_integer_in_range_or_an_error(number: float) -> None:
    found = _value_or_message("replicas", "replicas", str(number))
    if isinstance(found, str):
        assert found.startswith("--replicas: expected an integer of at least 1, got ")
    else:
        assert isinstance(found, int)
        assert found >= 1
        assert found == number


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "-o", "x.h5"], "--temperature (-T): expected a positive number, got none"),
        (["sample", "-T", "0.3"], "--output (-o): expected the name of a file, got none"),
        (["sample", "-T", "-1", "-o", "x.h5"], "--temperature: expected a positive finite number, got -1"),
        (["sample", "-T", "0.3,0.4", "-o", "x.h5"], "--temperature: expected one temperature, got 2"),
        (["sample", "-T", "0.3", "-o", "x.h5", "--replicas", "0"], "--replicas: expected an integer of at least 1, got 0"),
        (["sample", "-T", "0.3", "-o", "x.h5", "--algorithm", "swop"], "did you mean 'swap'?"),
        (["sample", "-T", "0.3", "-o", "x.h5", "--system", "ka2e"], "did you mean 'ka2d'?"),
        (["sample", "-T", "0.3", "-o", "x.h5", "-n", "12"], "expected at least 30"),
        (
            ["sample", "-T", "0.3", "-o", "x.h5", "--algorithm", "mc", "--swap-probability", "0.1"],
            "--swap-probability: expected 0",
        ),
        (["sample", "-T", "0.3", "-o", "x.h5", "--swap-probability", "1.5"], "expected a probability in [0, 1], got 1.5"),
        (["sample", "-T", "0.3", "-o", "no/such/folder/x.h5"], "--output: expected a file in a folder that exists"),
        (["sample", "-T", "0.3", "-o", "x.h5", "--system", "nowhere.toml"], "expected an existing file, got 'nowhere.toml'"),
        (["sample", "--resume", "-o", "nowhere.h5"], "nowhere.h5"),
        (["sample", "-T", "0.3", "--replcas", "3"], "No such option: --replcas"),
        (["smple"], "smple"),
        (
            ["compare", "--system", "ka"],
            "--temperatures (-T): expected one or several positive numbers for this system, got none",
        ),
        (["compare", "-T", "0.3,0"], "--temperatures: expected a positive finite number, got 0"),
        (["compare", "-T", "0.3,0.3"], "temperatures: expected distinct values, got 0.3 twice"),
        (["compare", "-T", "0.3", "--algorithms", "mc,wap"], "did you mean 'swap'?"),
        (["compare", "-T", "0.3", "--runs", "2"], "--runs: expected an integer of at least 4, got 2"),
        (["compare", "-T", "0.3", "--sweeps", "1010"], "sweeps: expected a multiple of 20 of at least 160, got 1010"),
        (["compare", "-T", "0.3", "--sweeps", "md=640,md=640"], "--sweeps: expected NAME=SWEEPS once for each algorithm"),
        (
            ["compare", "-T", "0.3", "--sweeps", "md=640"],
            "sweeps: expected a budget for each of md, mc, swap, pt, pa, nf, got md",
        ),
        (["compare", "-T", "0.3", "--sweeps", "md=6.5"], "--sweeps of md: expected an integer of at least 1, got 6.5"),
        (["compare", "-T", "0.3", "--reference", "nowhere.json"], "expected an existing file, got 'nowhere.json'"),
        (
            ["compare", "-T", "0.3", "--start-temperature", "0.2"],
            "start_temperature: expected at least the highest temperature",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    plain = capsys.readouterr()
    assert plain.out == ""
    assert plain.err.count("\n") == 1
    assert plain.err.startswith("glassnf: error: ")
    assert message in plain.err
    assert run([*arguments, "--json"]) == 2
    with_json = capsys.readouterr()
    error = json.loads(with_json.out)["error"]
    assert message in error["message"]
    assert error["exit_code"] == 2
    assert list(tmp_path.iterdir()) == []


def test_a_reference_file_that_is_no_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"temperatures": [{}]}', encoding="utf-8")
    assert run(["compare", "-T", "0.3", "--reference", str(path), "-o", str(tmp_path / "out")]) == 2
    assert "reference: expected the compare.json of a comparison" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [[], ["info"], ["sample"], ["compare"]])
def test_help(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "140"})
    assert result.exit_code == 0
    assert "Usage:" in result.output
    if command in (["sample"], ["compare"]):
        assert "(default: 1)" in result.output


def test_version_and_no_arguments() -> None:
    from glassnf import __version__

    assert CliRunner().invoke(app, ["--version"]).output == f"glassnf {__version__}\n"
    assert "compare" in CliRunner().invoke(app, []).output


def test_info() -> None:
    from glassnf import _core

    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 0
    data: dict[str, Any] = json.loads(CliRunner().invoke(app, ["info", "--json"]).output)
    assert data["hardware"]["instruction_set"] == _core.instruction_set()
    assert data["hardware"]["threads"] >= 1
    assert data["versions"]["python"] in result.output
    assert data["hardware"]["instruction_set"] in result.output
    if not data["hardware"]["cuda"]:
        assert data["hardware"]["cuda_why_not"] in result.output


def test_info_from_a_shell_is_the_same() -> None:
    code = "from glassnf.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "info", "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == json.loads(CliRunner().invoke(app, ["info", "--json"]).output)
    assert done.stderr == ""


# ------------------------------------------------------------------------------------------------------------------- Ctrl-C

SLOW_NUMPY = "import sys, time\nsys.stdout.write('importing\\n')\nsys.stdout.flush()\ntime.sleep(60)\n"


@pytest.mark.parametrize("entry", ["module", "script"])
def test_ctrl_c_while_libraries_are_imported(entry: str, tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(SLOW_NUMPY, encoding="utf-8")
    script = tmp_path / "bin" / "glassnf"
    script.parent.mkdir()
    script.write_text("from glassnf._entry import main\nmain()\n", encoding="utf-8")
    command = [sys.executable, *(["-m", "glassnf"] if entry == "module" else [str(script)]), "info"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize("name", ["glassnf", "other"])
def test_the_handler_of_ctrl_c_is_what_it_was(name: str) -> None:
    check = "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    code = (
        f"import signal, sys; sys.argv[0] = '/usr/bin/{name}'; import glassnf; {check}; from glassnf._entry import EARLY, main"
    )
    code += f"; assert EARLY is {name == 'glassnf'}; sys.argv = ['glassnf', '--version']\ntry: main()\nfinally: {check}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("arguments", [["info"], ["compare", "--json"]])
def test_ctrl_c_where_nothing_is_to_be_kept(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("glassnf.cli._print_info", interrupt)
    monkeypatch.setattr("glassnf.cli._compare.choose", interrupt)
    assert run(arguments) == 130
    said = capsys.readouterr()
    assert said.err.strip() == "glassnf: error: interrupted"
    assert ("interrupted" in said.out) is ("--json" in arguments)
