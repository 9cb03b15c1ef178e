"""``python -m tailrace_services``: the command line."""

from __future__ import annotations

from tailrace_services.cli import main

if __name__ == "__main__":
    main()
