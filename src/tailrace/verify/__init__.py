"""Measuring honestly: a load driver, and the statistics that say what its figures mean.

``http1`` parses responses (pure), ``client`` speaks over kept-alive connections, ``pacer`` says when requests are due
(pure), ``driver`` loads a server in a closed or an open loop, ``statistics`` summarises and compares (pure). The room
sees services through HTTP alone.
"""

from __future__ import annotations
