"""``tailrace-services trading-desk``: its data. Touches: terminal, databases.

Exit codes: 0 done; 1 could not be done, nothing changed; 2 wrong usage.
"""

from __future__ import annotations

from tailrace_services.data.commands import data_commands
from tailrace_services.trading_desk.data import DATA

__all__ = ["app"]

app = data_commands(DATA)
