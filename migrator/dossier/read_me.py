"""The text inside a dossier that tells an auditor how to verify it without this tool. Pure."""

from __future__ import annotations

from migrator.dossier import manifest
from migrator.model.dossier import Manifest

_SIGNED = """\
    tar -xf DOSSIER && sha256sum --check --strict --quiet SHA256SUMS   # a member was altered, or is missing
    openssl pkey -pubin -in public-key.pem -outform DER | sha256sum    # compare with the fingerprint you were given
    {verify}
    grep -c "$(sha256sum < SHA256SUMS | cut -c1-64)" manifest.json     # 1: what was checked is what was signed
    tar -tf DOSSIER | wc -l                                            # {count}: nothing was added
"""
_UNSIGNED = """\
    tar -xf DOSSIER && sha256sum --check --strict --quiet SHA256SUMS manifest.sha256
    grep -c "$(sha256sum < SHA256SUMS | cut -c1-64)" manifest.json     # 1: what was checked is what the manifest names
    sha256sum manifest.json                                            # compare with the digest you were given
    tar -tf DOSSIER | wc -l                                            # {count}: nothing was added
"""
VERIFY = {
    "ed25519": "openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in manifest.json -sigfile manifest.sig",
    "ecdsa-p256": "openssl dgst -sha256 -verify public-key.pem -signature manifest.sig manifest.json",
}
"""By algorithm: the command of openssl that verifies the signature."""


def read_me(contents: Manifest, count: int) -> str:
    """Return the text; its commands are run by a test. count: files in the dossier."""
    signed = contents.key is not None
    steps = (_SIGNED if signed else _UNSIGNED).format(
        verify=VERIFY[contents.key.algorithm] if contents.key else "", count=count
    )
    by = (
        f"It is signed with {contents.key.algorithm} by the key\n{contents.key.fingerprint}.\n"
        "Anybody can sign with a key of their own: compare this fingerprint with the one that you were given by\n"
        "another way, such as the decision, a ticket, or a letter."
        if contents.key
        else "IT IS NOT SIGNED. Nothing in it proves who wrote it: compare the digest of manifest.json with one that\n"
        "was written down elsewhere when it was made."
    )
    return f"""\
Dossier of migration {contents.plan}, {contents.kind}, as of {contents.created_at:%Y-%m-%d %H:%M:%S} UTC
Format {contents.format}, written by migrator {contents.tool}

This is a tar file. {manifest.MANIFEST} names its members with size and SHA-256, in their order; dossier.html is for
reading; the other members are JSON, one object a line in *.jsonl.

{by}

To verify it without migrator, in an empty directory, with DOSSIER the path of this file:

{steps}
With migrator: migrator dossier verify DOSSIER --key FINGERPRINT. It looks at every byte, and names what was altered.

log.jsonl is the decision log. Each entry that was sealed has a seal:
  content = SHA-256 of the fields id, at, who, login, kind, subject, before, after, reason
  hash    = SHA-256 of the fields seq, prev, content, repeated (true or false), note; prev: hash of the seal before
A field is its length in bytes in decimal, a colon, its UTF-8 text and a comma; one that is null is "-,".
An entry that is null was deleted on purpose, because the tool repeats it at every check (repeated: true).

The log's head: {contents.log.head or "(nothing was sealed)"}
Entries: {contents.log.entries}, sealed: {contents.log.sealed}
{f"THE CHAIN WAS BROKEN WHEN THIS WAS WRITTEN: {contents.log.problem}" if contents.log.problem else ""}
"""
