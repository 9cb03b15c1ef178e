"""Pages as clients see them."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from tailrace.fastapi import Listing


def test_the_class_of_pages_is_made_once() -> None:
    """pydantic forgets a model with parameters that nobody holds; to make it anew for each page takes milliseconds."""
    made = weakref.ref(Listing[Any])
    gc.collect()
    assert made() is Listing[Any]
