"""What processors show of themselves, as the engine's metrics take it."""

from __future__ import annotations

Figure = tuple[str, dict[str, str], float]
"""A gauge: its name, its labels and its value."""
