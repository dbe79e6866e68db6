"""The plan's section about the board (migrator serve)."""

from __future__ import annotations

from pydantic import Field

from migrator.plan.section import SecretReference, Section


class Board(Section):
    """Where the board's tokens are found; the environment's and the command's come before."""

    token: SecretReference | None = Field(
        None, description="Who signs in with it may act; without one it is read-only."
    )
    read_token: SecretReference | None = Field(None, description="Without it nothing of the board may be read.")
