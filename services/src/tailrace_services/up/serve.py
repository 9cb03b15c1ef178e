"""One worker: uvicorn on a socket that the supervisor listens on. Touches: everything the services touch.

The socket is the supervisor's, so that a taken port is found out at once, several workers share it, and no connection
is refused while one is replaced.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys

import uvicorn

from tailrace_services.up.serving import SERVING

__all__ = ["main"]


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--app", default="tailrace_services.app:create_app", help="an application factory")
    parser.add_argument("--gate", type=int, help="a pipe at whose end to begin; by default at once")
    options = parser.parse_args()
    configuration = uvicorn.Config(options.app, factory=True, **SERVING)
    configuration.load()
    if options.gate is not None:
        os.read(options.gate, 1)
    server = uvicorn.Server(configuration)
    server.run(sockets=[socket.socket(fileno=options.fd)])
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    main()
