"""Clients of the shop that keep a ledger: what was answered, and what a read missed afterwards.

    python traffic.py http://127.0.0.1:8000 --tenants 1-8 --clients 4 < /dev/tty    # until its input ends

Each client places an order, sends it again until it is answered, then reads it at once. An order that was answered and
that the read does not show, or shows otherwise, was lost on the way. The ledger goes to stdout as JSON.
"""

import argparse
import http.client
import json
import random
import sys
import threading
import time
import urllib.parse

GIVE_UP_S = 60.0


class Client(threading.Thread):
    """One customer after the other, by one connection."""

    def __init__(self, number: int, address: str, tenants: list[int], stop: threading.Event) -> None:
        super().__init__()
        self.number = number
        self.address = address
        self.tenants = tenants
        self.stop = stop
        self.random = random.Random(number)
        self.ledger: list[tuple[int, int, int]] = []  # tenant, number of the order, pieces
        self.missed: list[str] = []
        self.unanswered: list[str] = []
        self.again: dict[str, int] = {}

    def run(self) -> None:
        order = 0
        while not self.stop.is_set():
            order += 1
            self.place(self.random.choice(self.tenants), self.number * 1_000_000 + order)

    def place(self, tenant: int, number: int) -> None:
        lines = [["pen", self.random.randint(1, 9)], ["ruler", self.random.randint(1, 9)]]
        body = {"number": number, "country": "AT", "lines": lines}
        if self.until_answered("POST", f"/t/{tenant}/orders", body) is None:
            self.unanswered.append(f"order {number} of tenant {tenant}")
            return
        self.ledger.append((tenant, number, sum(pieces for _, pieces in lines)))
        found = self.until_answered("GET", f"/t/{tenant}/orders/{number}")
        if found is None:
            self.unanswered.append(f"a read of order {number}")
        elif found.get("lines") != lines:
            self.missed.append(f"order {number} of tenant {tenant}: {found}")

    def until_answered(self, method: str, path: str, body: dict | None = None) -> dict | None:
        """Return what the shop answers in the end; {} when there is no such order; None when it never answers."""
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            try:
                connection = http.client.HTTPConnection(self.address, timeout=20)
                connection.request(method, path, json.dumps(body) if body else None)
                response = connection.getresponse()
                status, text = response.status, response.read()
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                status, text = 0, type(error).__name__.encode()
            if status in (200, 201, 404):
                return json.loads(text)
            why = f"{method} {status or text.decode()}"
            self.again[why] = self.again.get(why, 0) + 1
            time.sleep(0.1)
        return None


def numbers(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--tenants", type=numbers, default=numbers("1-8"), help="for example 1-8")
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    stop = threading.Event()
    address = urllib.parse.urlsplit(given.address).netloc
    clients = [Client(n, address, given.tenants, stop) for n in range(1, given.clients + 1)]
    for client in clients:
        client.start()
    sys.stdin.read()
    stop.set()
    for client in clients:
        client.join()
    again: dict[str, int] = {}
    for client in clients:
        for why, count in client.again.items():
            again[why] = again.get(why, 0) + count
    ledger = {
        "orders": [entry for client in clients for entry in client.ledger],
        "missed": [entry for client in clients for entry in client.missed],
        "unanswered": [entry for client in clients for entry in client.unanswered],
        "again": again,
    }
    print(json.dumps(ledger))
    sys.exit(1 if ledger["missed"] or ledger["unanswered"] else 0)


if __name__ == "__main__":
    main()
