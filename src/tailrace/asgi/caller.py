"""Whose requests a limit counts. Pure.

A function gives the identity of a caller, or None, and then the next one is asked; at the end stands the address. An
identity must be one that was checked: who may invent another one for each request is not limited by it. So a credential
that is only read here is worth no more than the address next to which another limit counts.

Identities are hashed before they become part of anything, so that neither a credential nor a person's name is in keys,
in a store's log, or in what an operator lists.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.route_policy import IdentityOf

__all__ = ["by_header", "caller_key", "first_of"]


def caller_key(identity: str) -> str:
    """What stands for an identity in keys: 24 hexadecimal digits."""
    return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=12, person=b"tailrace-limit").hexdigest()


def by_header(name: str) -> Callable[[Exchange], str | None]:
    """The value of a request header field, such as an API key that a layer outside has checked."""
    field = name.lower().encode("latin-1")

    def identity(exchange: Exchange) -> str | None:
        value = exchange.headers.get(field)
        return value.decode("latin-1") if value else None

    return identity


def first_of(*identities: IdentityOf) -> IdentityOf:
    """The identity that the first of them gives which gives one.

    Two of them that give the same text for different callers would make those share a bucket, so each has its number in
    front.
    """

    def identity(exchange: Exchange) -> str | None:
        for number, function in enumerate(identities):
            found = function(exchange)
            if found is not None and not isinstance(found, str):
                raise TypeError("first_of() takes plain functions; an async one has to ask the others itself")
            if found:
                return f"{number}:{found}"
        return None

    return identity
