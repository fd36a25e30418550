"""Tables of the terminal that more than one command may show."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from ..flows import RadialFlow

__all__ = ["flow_table"]


def flow_table(flow: RadialFlow) -> Table:
    """Return a table of how well a flow fits at each temperature of its training."""
    from rich.table import Table

    report = flow.report
    assert report is not None
    table = Table(
        title=f"{flow.system.name}, N = {flow.system.n}: {flow.field.layers} layers of messages", title_justify="left"
    )
    for name in ("T", "samples", "held out", "sigma(U)", "explained", "in the fit", "ceiling"):
        table.add_column(name, justify="right", no_wrap=True)
    for node in report.nodes:
        table.add_row(
            f"{node.temperature:.4g}",
            f"{node.samples:,}",
            f"{node.held_out:,}",
            f"{node.energy_spread:.3f}",
            f"{node.explained:.3f}",
            f"{node.explained_train:.3f}",
            "" if node.ceiling is None else f"{node.ceiling:.3f}",
        )
    return table
