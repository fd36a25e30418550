"""Import of libraries that only some features need."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

__all__ = ["available", "require"]


def available(module: str) -> bool:
    """Return whether `module` is installed, without importing it (its parent package is imported, if it has one)."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def require(module: str, *, extra: str, purpose: str, package: str | None = None) -> Any:
    """Import and return a module that comes with an optional extra of glassnf.

    Parameters
    ----------
    module
        Name of the module, as in an import statement.
    extra
        The extra of glassnf that installs it, e.g. ``"analysis"``.
    purpose
        What it is needed for, as it reads after "is needed for".
    package
        Name of the package to install where it is not that of the module.

    Raises
    ------
    ImportError
        If the module is not installed, or is installed but does not import; the message gives the command to install it.
    """
    by_name = "" if package is None else f" (or pip install {package})"
    remedy = f"{module} is needed for {purpose}: pip install 'glassnf[{extra}]'{by_name}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] == module.split(".")[0]:
            raise ImportError(remedy, name=module) from None
        raise ImportError(f"{remedy} (it is installed, but its import failed: {error})", name=module) from error
    except Exception as error:
        raise ImportError(f"{remedy} (it is installed, but its import failed: {error})", name=module) from error
