"""Progress bars and tables in the terminal."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

__all__ = ["Bar", "fits", "print_tables", "short_number", "standard_output"]


_LEAST_BAR: Final = 8
_NARROW: Final = 72
"""Columns of a terminal in which there is no place for a remark behind a bar."""


def short_number(value: float) -> str:
    """Return a positive number with three significant digits and a prefix, e.g. ``4.51M``."""
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{prefix}"
    return f"{value:.3g}"


def standard_output() -> Console:
    """Return a console on the standard output that keeps tables whole where the output is not a terminal."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 100), no_color=True)


def print_tables(tables: list[Any]) -> None:
    """Print tables on the standard output."""
    console = standard_output()
    for table in tables:
        console.print(table)


def fits(table: Table) -> bool:
    """Return whether a table is shown on the standard output without cutting its columns."""
    console = standard_output()
    free = console.options.update(width=10_000)  # the measure is cut to the width there is
    return bool(console.measure(table, options=free).minimum <= console.width)


class Bar:
    """Progress bars on the standard error, one line for each stage; silent where asked or where it is not a terminal.

    Use as a context manager.

    Parameters
    ----------
    quiet
        Show nothing.
    """

    def __init__(self, quiet: bool) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        if quiet:
            return
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_terminal:
            self._progress = _bars(console)

    def __enter__(self) -> Bar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(self, stage: str, done: float, total: float, note: str = "") -> None:
        """Show that `done` of `total` of a stage is done, with a remark behind the bar; a stage begins when first named."""
        if self._progress is None:
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total, note=note)
        self._progress.update(self._tasks[stage], completed=done, total=total, note=note)

    def remove(self, stage: str) -> None:
        """Show the bar of a stage no longer."""
        if self._progress is not None and stage in self._tasks:
            self._progress.remove_task(self._tasks.pop(stage))

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False)


def _bars(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, table_column=Column(min_width=_LEAST_BAR, ratio=1)),
        TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
        TimeRemainingColumn(
            compact=True, elapsed_when_finished=True, table_column=Column(no_wrap=True, min_width=5, justify="right")
        ),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    ]
    columns = columns[:-1] if console.width < _NARROW else columns
    return Progress(*columns, console=console, expand=console.width <= 120, refresh_per_second=4)
