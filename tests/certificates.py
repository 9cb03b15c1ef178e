"""Certificates for servers of tests, made by the openssl program."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

__all__ = ["needs_openssl", "server_context"]

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl program, which makes the certificate, is missing"
)


async def server_context(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """What a server called ``name`` needs for TLS, and the file of the certificate that its clients have to trust."""
    key, certificate = folder / f"{name}-key.pem", folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
