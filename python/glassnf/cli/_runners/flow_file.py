"""The file of a flow that a run uses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .._errors import user_input
from .._options import Choices

if TYPE_CHECKING:
    from ...flows import RadialFlow
    from ...systems import System

__all__ = ["assisting_flow", "flow_parameters", "load_flow"]


def load_flow(path: str, system: System) -> RadialFlow:
    """Return the flow in a file, for a system.

    Raises
    ------
    CommandError
        If there is none, or it does not fit the system.
    """
    from ...flows import load

    with user_input():
        return load(path, system)


def flow_parameters(choices: Choices, system: System) -> tuple[dict[str, Any], float]:
    """Return what a run of pt or pa stores of its flow, nothing where there is to be none, and its hottest temperature.

    Raises
    ------
    CommandError
        As `load_flow`.
    """
    if choices["flow"] is None:
        return {}, math.inf
    flow = load_flow(choices["flow"], system)
    return {"flow": choices["flow"], "flow_is": flow.describe()}, flow.hot


def assisting_flow(parameters: dict[str, Any], system: System) -> RadialFlow | None:
    """Return the flow that the parameters of a run name, if they do.

    Raises
    ------
    CommandError
        If it cannot be read.
    """
    return None if parameters.get("flow") is None else load_flow(parameters["flow"], system)
