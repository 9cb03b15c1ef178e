"""An application that several workers serve."""

from __future__ import annotations

from fastapi import FastAPI

from tailrace import Tailrace, cached
from tailrace.settings import Settings

app = FastAPI(title="Workers")
Tailrace(app, Settings(database_url=None, valkey_url=None))


@app.get("/kept")
@cached(ttl=60, shared=True)
async def kept() -> dict[str, str]:
    return {"a": "b"}
