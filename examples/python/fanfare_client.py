"""A small asyncio client for the Fanfare broker: JSON, websockets 10.4, no other packages.

    async with Client(["ws://node1:8080/ws", "ws://node2:8080/ws"]) as client:
        subscription = client.subscribe("news")
        await subscription.ready  # it gets what is published from now on
        await client.publish("news", {"title": "hello"})
        print(await anext(aiter(subscription)))  # or: async for event in subscription

Not implemented: subscriptions to topics of level `fast`, MessagePack, `unsubscribe`, `refresh` (an
expired token means a reconnect), a second connection during a move, several commands in a frame,
the pace of 4.5 (a client that publishes too much for minutes is closed with 4006 and reconnects),
pipelining in a topic, limits for waiting commands. WebSocket pings replace `ping`.
"""

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count, cycle
from time import monotonic
from typing import Any, NamedTuple, Self

from websockets.client import WebSocketClientProtocol, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatusCode

Message = dict[str, Any]
Apply = Callable[[Message], None]
OPTIONS: Message = {"subprotocols": ["fanfare.v1.json"], "max_size": None, "close_timeout": 1}
NOT_ACCEPTED = {"unavailable", "overloaded", "rateLimited"}  # no subscriber got the publication


class Position(NamedTuple):
    epoch: str
    offset: int


class Event(NamedTuple):
    kind: str  # "publication", "undecodable", "gap" (some are lost), "reset" (another history)
    position: Position
    data: Any = None


class FanfareError(Exception):
    def __init__(self, code: str, message: str | None = None, is_unknown: bool = False) -> None:
        super().__init__(code, message)
        self.code, self.is_unknown = code, is_unknown  # unknown: it may have been published


def pause(failures: int, reply: Message, first: float = 0.5, longest: float = 20) -> float:
    upper_end = min(longest, first * 2 ** min(failures - 1, 10))
    return reply.get("retryAfterMs", 0) / 1000 + random.uniform(0, upper_end)


class Subscription:  # of one topic; it outlives connections (section 4.4 of the protocol)
    def __init__(self, topic: str) -> None:
        self.topic, self.left = topic, set[str]()  # left: epochs that may still arrive late
        self.subscribed, self.news = asyncio.Event(), asyncio.Event()  # on this connection
        self.events: asyncio.Queue[Event | BaseException] = asyncio.Queue()
        self.ready: asyncio.Future[None] = asyncio.Future()  # fails if the node refuses it
        self.seen, self.known, self.lagging = Position("", 0), 0, 0  # no epoch: nothing seen

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not isinstance(event := await self.events.get(), BaseException):
            yield event
        raise event

    def end(self, error: BaseException) -> None:
        self.events.put_nowait(error)
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # so that asyncio does not report an exception that nobody reads

    def on_subscribed(self, since: Position, reply: Message) -> None:
        if "epoch" not in reply:
            raise FanfareError("noHistory", f"{self.topic} keeps no history: not for this client")
        start = Position(reply["epoch"], reply["offset"] - len(reply["publications"]))
        if since.epoch == start.epoch == self.seen.epoch and reply["offset"] < since.offset:
            self.jump("reset", start)  # the history has lost its newest publications
        self.take(start, reply["publications"])
        self.subscribed.set()
        if not self.ready.done():
            self.ready.set_result(None)

    def on_history(self, since: Position, reply: Message) -> None:
        end, first = Position(reply["epoch"], reply["offset"]), reply.get("first")
        if since.epoch == self.seen.epoch and self.is_current(end) and first is not None:
            self.jump("gap", Position(end.epoch, first - 1))  # does nothing if it is recovered
            self.take(Position(end.epoch, first - 1), reply["publications"])
        self.lagging += 1
        if self.seen != since or self.known <= self.seen.offset:
            self.lagging = 0
        elif end.epoch == self.seen.epoch and end.offset >= self.known:
            self.jump("gap", Position(end.epoch, self.known))  # the history does not have them
        elif self.lagging == 10:
            self.jump("reset", end)  # the history has lost its newest publications

    def on_push(self, kind: str, push: Message) -> None:
        if kind == "publications":
            self.take(Position(push["epoch"], push["offset"] - 1), push["items"])
        elif kind == "unsubscribed":
            self.end(FanfareError(push["code"], push["message"]))
        elif kind in {"gap", "reset"}:
            if self.is_current(to := Position(push["epoch"], push["offset"])) and kind == "gap":
                self.jump("gap", to)

    def take(self, before: Position, items: list[Message]) -> None:
        if self.is_current(before):
            self.known = max(self.known, before.offset + len(items))
            for offset, item in enumerate(items, before.offset + 1):
                if offset == self.seen.offset + 1:  # else a duplicate, or the history has it too
                    self.seen = Position(before.epoch, offset)
                    kind = "publication" if "data" in item else "undecodable"
                    self.events.put_nowait(Event(kind, self.seen, item.get("data")))

    def is_current(self, position: Position) -> bool:  # follows the topic to a new epoch
        if position.epoch not in {self.seen.epoch, *self.left}:
            self.jump("reset", position)
        return position.epoch == self.seen.epoch

    def jump(self, kind: str, to: Position) -> None:
        if kind == "gap" and to.offset <= self.seen.offset:
            return  # the application has seen more
        if self.seen.epoch:  # else it is the first position, and nothing has changed
            self.events.put_nowait(Event(kind, to))
            self.left |= {self.seen.epoch} - {to.epoch}
        self.known = max(self.known, to.offset) if kind == "gap" else to.offset
        self.seen, self.lagging = to, 0


class Client:
    def __init__(self, urls: Sequence[str], token: Callable[[], Awaitable[str]] | None = None):
        self._urls, self._token, self._ids, self._max_frame = urls, token, count(2), 1024
        self._topics: dict[str, Subscription] = {}
        self._pending: dict[int, tuple[asyncio.Future[Message], Apply | None]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._asking, self._publishing = asyncio.Semaphore(8), asyncio.Semaphore(16)

    async def __aenter__(self) -> Self:
        self._ws: asyncio.Future[WebSocketClientProtocol] = asyncio.Future()  # when connected
        self._tasks = [asyncio.create_task(self._run())]
        self._tasks[0].add_done_callback(self._end)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def subscribe(self, topic: str) -> Subscription:  # one for each topic, until the client ends
        subscription = self._topics[topic] = Subscription(topic)
        self._tasks.append(asyncio.create_task(self._keep(subscription)))
        return subscription

    async def publish(self, topic: str, data: Any, message_id: str = "") -> Position | None:
        message_id = message_id or random.SystemRandom().randbytes(18).hex()
        command = {"type": "publish", "topic": topic, "data": data, "messageId": message_id}
        is_unknown, failures = False, 0
        try:
            async with asyncio.timeout(10), self._turns[topic], self._publishing:
                while True:
                    await asyncio.shield(self._ws)
                    command["repeat"], is_unknown = is_unknown, True
                    reply = await self._ask(command)
                    if reply["type"] == "published":
                        is_placed = "epoch" in reply  # else the topic is `fast`
                        return Position(reply["epoch"], reply["offset"]) if is_placed else None
                    is_new_doubt = reply["retryable"] and reply["code"] not in NOT_ACCEPTED
                    is_unknown = command["repeat"] or is_new_doubt
                    if not reply["retryable"]:
                        raise FanfareError(reply["code"], reply.get("message"), is_unknown)
                    await asyncio.sleep(pause(failures := failures + 1, reply, 0.05, 1))
        except TimeoutError:
            raise FanfareError("timeout", is_unknown=is_unknown) from None

    async def _keep(self, topic: Subscription) -> None:
        failures = 0
        while True:
            while topic.subscribed.is_set() and topic.known <= topic.seen.offset:
                topic.news.clear()
                await topic.news.wait()
            is_new, since = not topic.subscribed.is_set(), topic.seen
            apply = partial(topic.on_subscribed if is_new else topic.on_history, since)
            command = {"type": "subscribe"} if is_new else {"type": "history", "limit": 1000}
            command |= {"topic": topic.topic, "since": since._asdict() if since.epoch else None}
            async with self._asking:
                reply = await self._ask(command, apply)
            if reply["type"] != "error":
                failures = failures + 1 if topic.lagging and not is_new else 0
            elif reply["retryable"]:
                failures += 1
            elif is_new:
                return topic.end(FanfareError(reply["code"], reply.get("message")))
            else:
                topic.jump("gap", topic.seen._replace(offset=topic.known))
            if failures:
                await asyncio.sleep(pause(failures, reply))

    async def _ask(self, command: Message, apply: Apply | None = None) -> Message:
        ws, number = await asyncio.shield(self._ws), next(self._ids)
        if len(text := json.dumps(command | {"id": number})) > self._max_frame:
            return {"type": "error", "code": "frameTooLarge", "retryable": False}
        future = asyncio.Future[Message]()
        self._pending[number] = future, apply
        with suppress(ConnectionClosed):
            await ws.send(text)
            await asyncio.wait([future], timeout=10)
        if future.done() and not future.cancelled():
            return future.result()
        await ws.close()
        return {"type": "error", "code": "connectionLost", "retryable": True}

    async def _run(self) -> None:
        failures = 0
        for url in cycle(self._urls):
            started, retry_after = monotonic(), 0.0
            try:
                await self._serve(url)
            except InvalidStatusCode as error:
                retry_after = float(error.headers.get("Retry-After", 0))
            except ConnectionClosed as error:
                if 4500 <= error.code < 5000:
                    raise
            except (OSError, InvalidHandshake):
                pass
            failures = failures + 1 if monotonic() - started < 10 else 1
            await asyncio.sleep(retry_after + pause(failures, {}))

    async def _serve(self, url: str) -> None:
        token = await self._token() if self._token else None
        async with asyncio.timeout(5) as deadline, connect(url, **OPTIONS) as ws:
            await ws.send(json.dumps({"type": "connect", "token": token}))
            while (hello := json.loads(await ws.recv()))["type"] != "connected":
                if hello["code"] == "malformed":  # for other errors the close code says more
                    raise FanfareError(hello["code"], hello.get("message"))
            deadline.reschedule(None)
            self._max_frame = hello["maxFrameBytes"]
            self._ws.set_result(ws)
            try:
                while True:
                    message = json.loads(await ws.recv())
                    if waiting := self._pending.pop(message.get("id", 0), None):
                        future, apply = waiting
                        if apply and message["type"] != "error":
                            apply(message)  # before the next message, which builds on it
                        future.set_result(message)
                    elif message["type"] == "goaway":  # at the deadline, closes and reconnects
                        deadline.reschedule(monotonic() + message["delayMs"] / 1000)
                    elif topic := self._topics.get(message.get("topic", "")):
                        topic.on_push(message["type"], message)
                        topic.news.set()
            finally:
                self._ws = asyncio.Future()
                while self._pending:
                    self._pending.popitem()[1][0].cancel()
                for topic in self._topics.values():
                    topic.left.clear()
                    topic.subscribed.clear()
                    topic.news.set()

    def _end(self, run: asyncio.Task[None]) -> None:
        error = (None if run.cancelled() else run.exception()) or ConnectionError("closed")
        self._ws.set_exception(error)
        self._ws.exception()  # so that asyncio does not report an exception that nobody reads
        for topic in self._topics.values():
            topic.end(error)
