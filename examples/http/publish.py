"""Publishes one JSON value, and prints the answer of the broker. Needs only the standard library.

python3 publish.py <topic> <json> [key]
FANFARE_URL: http://localhost:8080 if unset. FANFARE_TOKEN: a token or an API key, if the broker requires one.
"""

import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid

# Waits and repeats for at most this time.
GIVE_UP_SECONDS = 60


class PublishError(Exception):
    pass


def publish(topic: str, data: str, key: str) -> dict:
    """Returns the answer: topic, epoch, offset, messageId, duplicate."""
    url = os.environ.get("FANFARE_URL", "http://localhost:8080") + f"/v1/topics/{topic}/publications"
    # One key for all attempts: the broker publishes once, however often this repeats the request.
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    if token := os.environ.get("FANFARE_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    attempt = 0
    while True:
        request = urllib.request.Request(url, data.encode(), headers, method="POST")
        retry_after = None
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            failure = describe(error)
            retry_after = error.headers.get("Retry-After")
            if error.code not in (408, 429, 500, 502, 503, 504):
                raise PublishError(failure) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            # No answer, or half of one. The broker may have published it: the key makes repeating safe.
            failure = f"The broker did not answer: {error!r}"
        seconds = float(retry_after) if retry_after else min(0.2 * 2**attempt, 5)
        # A random part: many publishers must not all return at once.
        seconds *= random.uniform(1, 1.5)
        if time.monotonic() + seconds > give_up_at:
            raise PublishError(f"Gave up: {failure}")
        time.sleep(seconds)
        attempt += 1


def describe(error: urllib.error.HTTPError) -> str:
    try:
        return json.load(error)["detail"]
    except (ValueError, KeyError, TypeError):
        # An answer of a proxy.
        return f"Status {error.code}."


if __name__ == "__main__":
    topic, data, *more = sys.argv[1:]
    try:
        print(json.dumps(publish(topic, data, more[0] if more else str(uuid.uuid4()))))
    except PublishError as error:
        sys.exit(str(error))
