"""Runs uvicorn as a process that does not outlive its parent. Touches: this process.

``python -m tailrace_services.prove.child PARENT_PID UVICORN_ARGUMENTS...``. However the parent ends, the kernel ends
this process too, so that a measurement that was killed leaves no server behind.

**Source:** Linux ``prctl(2)``, ``PR_SET_PDEATHSIG``.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent and become uvicorn."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before it could be watched
        sys.exit(1)
    sys.argv = ["uvicorn", *sys.argv[2:]]
    runpy.run_module("uvicorn", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
