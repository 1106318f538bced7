"""Checks a Fanfare broker: nothing may be lost, duplicated or reordered, whatever is restarted.

    python3 soak.py ws://127.0.0.1:8080/ws ws://127.0.0.1:8082/ws

Publishes numbers on some topics. One subscriber stays at each URL, one more uses all of them.
A line on stdin or SIGTERM ends it. It then waits for outstanding publications, prints one line of
JSON, and exits with 0 if nothing went wrong, else with 1. Set FANFARE_TOKEN if nodes need a token.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections import Counter
from contextlib import AsyncExitStack, suppress

from fanfare_client import Client, Event, FanfareError, Subscription

TOPICS = [f"soak.{os.getpid()}.{number}" for number in range(int(os.environ.get("SOAK_TOPICS", 4)))]
INTERVAL = float(os.environ.get("SOAK_INTERVAL", "0.05"))  # seconds between publications of a topic
PADDING = "x" * int(os.environ.get("SOAK_BYTES", "200"))
DEADLINE = 60.0  # seconds until all are subscribed, and for the end


class Checker:
    """What one subscriber receives from one topic."""

    def __init__(self, name: str, subscription: Subscription) -> None:
        self.name, self.subscription = name, subscription
        self.numbers: list[int] = []
        self.arrived = asyncio.Event()

    async def run(self, counts: Counter[str]) -> None:
        async for event in self.subscription:
            self.take(event, counts)

    def take(self, event: Event, counts: Counter[str]) -> None:
        if event.kind != "publication":
            counts["resets"] += 1
            self.report(f"{event.kind} at {event.position}")
            return
        number = event.data["number"]
        counts["delivered"] += 1
        if self.numbers and number <= self.numbers[-1]:
            kind = "duplicated" if number in self.numbers else "reordered"
            counts[kind] += 1
            self.report(f"{kind}: {number} after {self.numbers[-1]}")
        self.numbers.append(number)
        self.arrived.set()

    async def wait_for(self, accepted: set[int]) -> None:
        while not accepted.issubset(self.numbers):
            self.arrived.clear()
            await self.arrived.wait()

    def report(self, text: str) -> None:
        print(f"{self.name}, {self.subscription.topic}: {text}", file=sys.stderr)


async def publish(client: Client, topic: str, accepted: set[int], stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        try:
            await client.publish(topic, {"number": number, "padding": PADDING})
            accepted.add(number)
        except FanfareError as error:  # if it is unknown, it may arrive or not
            print(f"{topic}: {number} failed: {error}, {error.is_unknown=}", file=sys.stderr)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), INTERVAL)


def listen_for_stop(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def read() -> None:
        if sys.stdin.readline():
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read, daemon=True).start()


async def token() -> str:
    return os.environ["FANFARE_TOKEN"]


async def main(urls: list[str]) -> int:
    stop, counts = asyncio.Event(), Counter[str]()
    accepted: dict[str, set[int]] = {topic: set() for topic in TOPICS}
    get_token = token if "FANFARE_TOKEN" in os.environ else None
    listen_for_stop(stop)
    async with AsyncExitStack() as clients:
        checkers = []
        for name, own_urls in [*((url, [url]) for url in urls), ("any", urls)]:
            client = await clients.enter_async_context(Client(own_urls, get_token))
            checkers += [Checker(name, client.subscribe(topic)) for topic in TOPICS]
        publisher = await clients.enter_async_context(Client(urls, get_token))
        async with asyncio.timeout(DEADLINE):
            for checker in checkers:
                await checker.subscription.ready
        print("all are subscribed", file=sys.stderr)
        runs = [asyncio.create_task(checker.run(counts)) for checker in checkers]
        await asyncio.gather(*(publish(publisher, name, accepted[name], stop) for name in TOPICS))
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE):
                for checker in checkers:
                    await checker.wait_for(accepted[checker.subscription.topic])
        for run in runs:
            run.cancel()
    lost = sum(len(accepted[c.subscription.topic].difference(c.numbers)) for c in checkers)
    published = sum(len(numbers) for numbers in accepted.values())
    problems = {kind: counts[kind] for kind in ("duplicated", "reordered", "resets")}
    result = {"published": published, "delivered": counts["delivered"], "lost": lost, **problems}
    print(json.dumps(result))
    return 1 if lost or any(problems.values()) or not published else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(sys.argv[1:])))
