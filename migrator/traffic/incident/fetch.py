"""Gets the certificates of Amazon SNS and visits the addresses that confirm subscriptions: the one way out."""

from __future__ import annotations

import logging

import httpx

from migrator.errors import ClusterUnavailable
from migrator.traffic.incident.senders.sns import LONGEST_CERTIFICATE

TIMEOUT_S = 5.0

# It would log whole addresses, and that of a subscription has its token in it.
logging.getLogger("httpx").setLevel(logging.WARNING)


def fetch(url: str) -> bytes:
    """Return the body at *url*, up to 64 KiB of it; no redirect is followed.

    Raises:
        ClusterUnavailable: it cannot be had now.
    """
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False) as client, client.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise ClusterUnavailable("Amazon SNS", f"it answered {answer.status_code}")
            found = b""
            for chunk in answer.iter_bytes():
                found += chunk
                if len(found) > LONGEST_CERTIFICATE:
                    raise ClusterUnavailable("Amazon SNS", "its answer is too long")
            return found
    except httpx.HTTPError as error:
        raise ClusterUnavailable(
            "Amazon SNS", type(error).__name__, "The webhook needs HTTPS to sns.REGION.amazonaws.com."
        ) from None
