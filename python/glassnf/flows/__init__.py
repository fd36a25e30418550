"""Normalizing flows: maps that carry configurations between temperatures with an exact Jacobian."""

from __future__ import annotations

from .transport import Flow, FlowError, IdentityFlow, Transport

__all__ = ["Flow", "FlowError", "IdentityFlow", "Transport"]
