"""An application whose only route fails."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace import Tailrace
from tailrace.settings import Settings


def create_app() -> FastAPI:
    """On nothing but itself."""
    app = FastAPI()
    Tailrace(app, Settings(database_url=None, valkey_url=None))

    @app.get("/failing")
    async def failing() -> None:
        raise ZeroDivisionError

    return app
