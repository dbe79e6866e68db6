"""Tokens of AWS IAM in the place of a password: a new one for each new connection.

A token is good for 15 minutes, and no longer than the credentials that signed it; it is made on this machine, without a
request. So none is kept. An open session goes on when its token has expired.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from psycopg import conninfo

from migrator.errors import ClusterUnavailable, UsageError
from migrator.login.parts import parts_of
from migrator.login.source import Source, source_of

_RDS_HOST = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d+)\.rds\.amazonaws\.com(?:\.cn)?\.?$")

_clients: dict[str, Any] = {}
_lock = threading.Lock()


class IamToken(Source):
    """A connection string whose password is a token, made for the host, port and user that it names.

    A token is made for one host. Of several each connection begins with another one, so that they spread over routers,
    and tries them in turn.

    Args:
        given: a connection string without a password, or what gives one.
        region: of the database; taken from the host's name, or from AWS' own settings, when not given.
        endpoint: the host's name in RDS, where *given* names another one that leads there.
    """

    asks_others = True  # the credentials that sign may have to be fetched
    keeps = False

    def __init__(self, given: str | Source, *, region: str | None = None, endpoint: str | None = None) -> None:
        self._given = source_of(given)
        self._region, self._endpoint = region, endpoint
        self._turn = itertools.count(random.randrange(1 << 16))

    @property
    def hosts(self) -> int:  # type: ignore[override]  # counted anew each time, elsewhere a constant
        """How many hosts the connection string names."""
        return len(str(parts_of(self._given()).get("host") or "").split(","))

    def __call__(self) -> str:
        return self._of(next(self._turn))

    def begin(self) -> Callable[[], str]:
        turn = itertools.count(next(self._turn))
        return lambda: self._of(next(turn))

    def _of(self, turn: int) -> str:
        parts = parts_of(self._given())
        lacks = [name for name in ("host", "user") if not parts.get(name)]
        if lacks:
            raise UsageError(
                f"a connection with an IAM token needs {' and '.join(lacks)} in its connection string",
                hint="For example rds-iam://USER@HOST:5432/DATABASE.",
            )
        hosts, ports = str(parts["host"]).split(","), str(parts.get("port") or "5432").split(",")
        at = turn % len(hosts)
        host, port = hosts[at], ports[at if len(ports) == len(hosts) else 0]
        signed = self._endpoint or host
        parts |= {"host": host, "port": port, "password": self._token(signed, port, str(parts["user"]))}
        parts.setdefault("sslmode", "verify-full")  # RDS takes a token over TLS alone, and it is a password
        return conninfo.make_conninfo(**parts)

    def forget(self) -> None:
        self._given.forget()

    def _token(self, host: str, port: str, user: str) -> str:
        region = self._region or region_of(host)
        try:
            with _lock:
                client = _clients.get(region or "")
                if client is None:
                    client = _clients[region or ""] = _client(region)
            return str(client.generate_db_auth_token(DBHostname=host, Port=int(port), DBUsername=user))
        except ImportError:
            raise UsageError("IAM tokens need the AWS extra", hint="pip install 'migrator[aws]'") from None
        except Exception as error:
            if not _of_aws(error):
                raise
            raise ClusterUnavailable(
                "AWS IAM",
                f"no token can be signed for {user} at {host} ({type(error).__name__})",
                "Give this machine credentials of AWS (a task or instance role), and a region if the host's name has"
                " none.",
            ) from None


def region_of(host: str) -> str | None:
    """Return the region in the name of a host of RDS; None where it has none."""
    found = _RDS_HOST.search(host.lower())
    return found[1] if found else None


def from_url(rest: str) -> IamToken:
    """Return the source that rds-iam:*rest* names, *rest* being //USER@HOST:PORT/DATABASE?region=REGION&….

    Of its parameters `region` and `endpoint` are for the token, the others for libpq.

    Raises:
        UsageError: it holds a password, or cannot be read.
    """
    parts = urlsplit(f"postgresql:{rest}")
    if parts.password is not None:
        raise UsageError("an rds-iam reference holds a password (not shown)", hint="Remove it: the token is one.")
    own = dict(parse_qsl(parts.query))
    region, endpoint = own.pop("region", None), own.pop("endpoint", None)
    text = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(own), ""))
    parts_of(text)
    return IamToken(text, region=region, endpoint=endpoint)


def _client(region: str | None) -> Any:
    import boto3

    return boto3.Session().client("rds", region_name=region)


def _of_aws(error: Exception) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    return isinstance(error, BotoCoreError | ClientError)
