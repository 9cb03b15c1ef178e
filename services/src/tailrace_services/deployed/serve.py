"""The command ``tailrace-services serve``: the services on an address of one's choice. Touches: what services touch."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that serve.")] = 1,
) -> None:
    """Serve all services with the servers and databases that there are, until Ctrl-C or SIGTERM."""
    import uvicorn

    from tailrace.settings import load_settings
    from tailrace_services.settings import load_services_settings
    from tailrace_services.up.serving import SERVING

    # Wrong settings are told once, and not by each worker.
    load_settings()
    load_services_settings()
    uvicorn.run("tailrace_services.app:create_app", factory=True, host=host, port=port, workers=workers, **SERVING)
