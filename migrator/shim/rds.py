"""Connection strings for `Shim` whose passwords change: IAM tokens, AWS Secrets Manager, files.

    from migrator.shim import Shim, rds

    with Shim(
        classic=rds.token("postgresql://app@prod.cluster-x.eu-central-1.rds.amazonaws.com/app?sslmode=verify-full"),
        limitless=rds.secret("prod/limitless", dbname="postgres_limitless"),
        name="web-1",
    ) as shim: ...

Each is read anew for every new connection; sessions that are open go on. `token` and `secret` need boto3, which is
loaded at the first connection. A function of your own that returns a connection string does as well.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlencode

from migrator.errors import UsageError
from migrator.login.iam import IamToken
from migrator.login.secret import SecretDsn
from migrator.login.source import Source

__all__ = ["file", "secret", "token"]


def token(dsn: str | Source, *, region: str | None = None, endpoint: str | None = None) -> Source:
    """Return *dsn*, which has no password, with a token of AWS IAM for each connection.

    Args:
        region: of the database; by default that in the host's name, else that of AWS' own settings.
        endpoint: the host's name in RDS, where *dsn* names another one (a tunnel, a name of your own).
    """
    return IamToken(dsn, region=region, endpoint=endpoint)


def secret(secret_id: str, *, key: str | None = None, **parts: str) -> Source:
    """Return the connection string in a secret of AWS Secrets Manager, read again each minute and after a refusal.

    Args:
        key: of the secret's JSON, where that holds a whole connection string.
        parts: what the secret lacks, by libpq's names; secrets that RDS manages lack host and dbname.

    Raises:
        UsageError: a part is none of a connection string.
    """
    return SecretDsn(f"{secret_id}{f'#{key}' if key else ''}{f'?{urlencode(parts, quote_via=quote)}' if parts else ''}")


def file(path: str | Path) -> Source:
    """Return the connection string in a file, read for each connection; what it held last while it is replaced."""
    return _File(Path(path))


class _File(Source):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = ""

    def __call__(self) -> str:
        try:
            text = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            text, why = "", type(error).__name__
        else:
            why = "it is empty"
        self._held = text or self._held
        if not self._held:
            raise UsageError(f"the file {self._path} holds no connection string ({why})")
        return self._held

    def forget(self) -> None:
        self._held = ""
