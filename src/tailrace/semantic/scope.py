"""Whose answer it is and what it was made from: answers never cross from one scope to another. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """What must be the same, exactly, before likeness is looked at.

    Args:
        tenant: whose data is asked; None where there are no tenants.
        identity: who asks; None only for answers that are everybody's of the tenant, which ``shared`` must say.
        shared: the answer is the same whoever asks.
        model: what makes the answer: a model and the version of its instructions.
        index_version: of what is searched, where it can change without a write to what answers depend on.
        conversation: digest of what was said before; a question in a conversation is another question.
        more: anything else that changes the answer: locale, filters, format.

    Raises:
        ValueError: neither an identity is given nor said that the answer is everybody's.
    """

    tenant: str | None = None
    identity: str | None = None
    shared: bool = False
    model: str = ""
    index_version: str = ""
    conversation: str = ""
    more: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.identity is not None) == self.shared:
            raise ValueError("say whose the answer is: an identity, or shared=True for one that is everybody's")

    @property
    def digest(self) -> str:
        """The scope in a key: 32 hexadecimal digits, without a name in it."""
        parts = [self.tenant, self.identity, self.model, self.index_version, self.conversation]
        text = json.dumps([*parts, sorted(self.more.items())], ensure_ascii=True, separators=(",", ":"))
        return blake2b(text.encode(), digest_size=16).hexdigest()
