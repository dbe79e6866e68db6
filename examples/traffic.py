"""Clients of the examples over HTTP, that keep a ledger: what was acknowledged, and what a read missed afterwards.

    python traffic.py notes http://127.0.0.1:8000 --tenants t1,t2,t3       # until its input ends (Ctrl-D)
    python traffic.py notes http://127.0.0.1:8080 --path /tenants/{tenant}/notes/{number}
    python traffic.py orders http://127.0.0.1:8000 --tenants 1,2,3

Each client sends a write again until it is answered, notes it, then reads it back at once; now and then it changes, or
looks at, what it wrote before. A read that does not show what was acknowledged last went back in time. The ledger goes
to stdout as JSON; the exit code is 1 where something was missed, or not answered at all.
"""

import argparse
import http.client
import json
import random
import sys
import threading
import time
import urllib.parse


class Client(threading.Thread):
    """One customer: one request after the other, with the cookies of a browser."""

    def __init__(self, number: int, given: argparse.Namespace, stop: threading.Event) -> None:
        super().__init__()
        self.number = number
        self.given = given
        self.address = urllib.parse.urlsplit(given.address).netloc
        self.stop = stop
        self.random = random.Random(number)
        self.cookies: dict[tuple[str, str], str] = {}  # by path and name
        self.ledger: dict[tuple[str, int], object] = {}  # by tenant and number
        self.missed: list[str] = []
        self.unanswered: list[str] = []
        self.again: dict[str, int] = {}
        self.longest_s = 0.0
        self.reads = 0

    def run(self) -> None:
        count = 0
        while not self.stop.wait(self.given.think):
            count += 1
            known = list(self.ledger)
            if known and count % 4 == 0:
                self.look(*self.random.choice(known[-50:]))
            elif known and count % 4 == 2 and self.given.what == "notes":
                self.put(*self.random.choice(known[-50:]), count)
            else:
                self.put(self.random.choice(self.given.tenants), self.number * 1_000_000 + count, count)

    def put(self, tenant: str, number: int, count: int) -> None:
        """Write, until it is acknowledged; note it; look."""
        if self.given.what == "notes":
            value: object = f"Größe {count}"
            done = self.until_answered("PUT", self.path(tenant, number), value)
        else:
            value = [["pen", self.random.randint(1, 9)], ["ruler", self.random.randint(1, 9)]]
            order = {"number": number, "country": "AT", "lines": value}
            done = self.until_answered("POST", f"/t/{tenant}/orders", order)
        if done is None:
            self.ledger.pop((tenant, number), None)  # it has this or the one before
            self.unanswered.append(f"a write of {number} of tenant {tenant}")
            return
        self.ledger[tenant, number] = value
        self.look(tenant, number)

    def look(self, tenant: str, number: int) -> None:
        """Read, and compare with what was acknowledged."""
        found = self.until_answered("GET", self.path(tenant, number))
        self.reads += 1
        if found is None:
            self.unanswered.append(f"a read of {number} of tenant {tenant}")
            return
        shown = found.get("body" if self.given.what == "notes" else "lines")
        if shown != self.ledger[tenant, number]:
            self.missed.append(f"{number} of tenant {tenant}: {found}, not {self.ledger[tenant, number]}")

    def path(self, tenant: str, number: int) -> str:
        if self.given.what == "orders":
            return f"/t/{tenant}/orders/{number}"
        return self.given.path.format(tenant=urllib.parse.quote(tenant, safe=""), number=number)

    def until_answered(self, method: str, path: str, body: object = None) -> dict | None:
        """Return what is answered in the end; {} when there is no such thing; None when it is never answered."""
        began = time.monotonic()
        while time.monotonic() < began + self.given.give_up:
            status, found = self.asked(method, path, body)
            if status in (200, 201, 204, 404):
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                return found if status != 404 else {}
            why = f"{method} {status or found['error']}"
            self.again[why] = self.again.get(why, 0) + 1
            time.sleep(0.1)
        return None

    def asked(self, method: str, path: str, body: object) -> tuple[int, dict]:
        """Return the status and what came; status 0 where nothing did."""
        plain = self.given.plain
        sent = None if body is None else (body if plain else json.dumps({"body": body} if body is str(body) else body))
        headers = {"content-type": "text/plain" if plain else "application/json"}
        mine = [f"{name}={value}" for (below, name), value in self.cookies.items() if path.startswith(below)]
        if mine:
            headers["cookie"] = "; ".join(mine)
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            connection.request(method, path, None if sent is None else str(sent).encode(), headers)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, {"error": type(error).__name__}
        finally:
            connection.close()
        for cookie in response.headers.get_all("set-cookie") or ():
            (name, value), *rest = (part.strip().partition("=")[::2] for part in cookie.split(";"))
            self.cookies[{key.lower(): path for key, path in rest}.get("path", "/"), name] = value
        if plain:
            return response.status, {"body": text}
        return response.status, json.loads(text) if text and response.status < 300 else {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("notes", "orders"), help="orders: those of the Django example")
    parser.add_argument("address")
    parser.add_argument("--tenants", type=lambda text: text.split(","), default=["1", "2", "3"], help="1,2,3")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--think", type=float, default=0.1, help="seconds between two things that a client does")
    parser.add_argument("--path", default="/{tenant}/notes/{number}", help="of a note")
    parser.add_argument("--plain", action="store_true", help="notes are sent and shown as text, not as JSON")
    parser.add_argument("--give-up", type=float, default=60.0, help="seconds until a request counts as never answered")
    given = parser.parse_args()
    stop = threading.Event()
    clients = [Client(number, given, stop) for number in range(1, given.clients + 1)]
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
        "acknowledged": [[*key, value] for client in clients for key, value in client.ledger.items()],
        "reads": sum(client.reads for client in clients),
        "missed": [text for client in clients for text in client.missed],
        "unanswered": [text for client in clients for text in client.unanswered],
        "again": again,
        "longest_s": max(client.longest_s for client in clients),
    }
    print(json.dumps(ledger))
    return int(bool(ledger["missed"] or ledger["unanswered"]))


if __name__ == "__main__":
    sys.exit(main())
