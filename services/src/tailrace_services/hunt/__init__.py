"""The stale-answer hunt: writers, readers and faults, and a model that knows what each reader may see.

``model`` decides (pure) whether a value may have been seen; ``observation`` reads the values out of answers (pure);
``actors`` write and read; ``faults`` break things; ``run`` puts them together and ``report`` says what happened.
"""

from __future__ import annotations
