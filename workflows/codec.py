"""Encrypts what goes to Temporal: arguments, results, memos, and the texts of failures. AES-256-GCM.

Of several keys the first encrypts and all decrypt, so a key is replaced in three steps: added as the last one
everywhere, moved to the front everywhere, and removed when no history is left that was written with it. The key's id
is in each payload, made from the key itself. What was written before there was a key is read as it is.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from migrator import settings
from migrator.errors import UsageError
from migrator.plan.schema import Plan

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
NONCE = 12
"""Bytes, random for each payload: NIST SP 800-38D allows 2^32 of them with one key."""


@dataclass(frozen=True, slots=True)
class Key:
    """An AES-256 key, and the id that payloads name it by; the id says nothing of the key."""

    id: str
    bytes: bytes = field(repr=False)


def key(text: str, reference: str) -> Key:
    """Return the key that *text* holds: 32 bytes as base64 or hexadecimal digits.

    Raises:
        UsageError: it is none; names *reference* and never the text.
    """
    text = text.strip()
    try:
        found = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != 32:
        raise UsageError(
            f"{reference} holds no key: 32 bytes in base64 are needed (not shown)", hint="openssl rand -base64 32"
        )
    return Key(hashlib.sha256(b"migrator payload key " + found).hexdigest()[:16], found)


def keys(plan: Plan) -> tuple[Key, ...]:
    """Return the plan's keys, the one that encrypts first. Raises UsageError, ClusterUnavailable as references do."""
    return tuple(key(settings.secret(reference), reference) for reference in plan.temporal.encryption_keys)


class EncryptionCodec(PayloadCodec):
    """Without keys it passes everything on, and says what is missing where something was encrypted."""

    def __init__(self, ring: Sequence[Key]) -> None:
        self._first = ring[0] if ring else None
        self._ring = {one.id: one for one in ring}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return *payloads* encrypted."""
        return [self._sealed(one) for one in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return *payloads* in the clear.

        Raises:
            UsageError: one was encrypted with a key that is not here.
            ValueError: one was altered.
        """
        return [self._opened(one) for one in payloads]

    def _sealed(self, payload: Payload) -> Payload:
        if self._first is None:
            return payload
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce, key_id = os.urandom(NONCE), self._first.id.encode()
        data = AESGCM(self._first.bytes).encrypt(nonce, payload.SerializeToString(), key_id)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: key_id}, data=nonce + data)

    def _opened(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id = payload.metadata.get(KEY_ID, b"")
        found = self._ring.get(key_id.decode(errors="replace"))
        if found is None:
            have = f"this process has {', '.join(self._ring)}" if self._ring else "this process has none"
            raise UsageError(
                f"a payload is encrypted with key {key_id.decode(errors='replace')}; {have}",
                hint="Add the key's reference to temporal.encryption_keys of the plan.",
            )
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            text = AESGCM(found.bytes).decrypt(payload.data[:NONCE], payload.data[NONCE:], key_id)
        except InvalidTag:
            raise ValueError(f"a payload encrypted with key {found.id} was altered") from None
        return Payload.FromString(text)


def converter(ring: Sequence[Key]) -> DataConverter:
    """Return how values become payloads, encrypted where there is a key."""
    found = dataclasses.replace(pydantic_data_converter, payload_codec=EncryptionCodec(ring))
    if not ring:
        return found
    return dataclasses.replace(found, failure_converter_class=DefaultFailureConverterWithEncodedAttributes)
