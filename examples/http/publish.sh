#!/bin/sh
# Publishes one JSON value with curl, and prints the answer of the broker.
#   publish.sh <topic> <json> [key]
# FANFARE_URL: http://localhost:8080 if unset. FANFARE_TOKEN: a token or an API key, if the broker requires one.
set -eu
topic=$1
json=$2
# One key for all attempts: the broker publishes once, however often curl repeats the request.
key=${3:-$(cat /proc/sys/kernel/random/uuid)}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# curl repeats the request after 408, 429, 500, 502, 503 and 504, waits as long as Retry-After says, and with
# --retry-all-errors repeats it too if there is no answer. The token comes from standard input: other users of the
# machine can read arguments.
status=$(
  printf '%s' "${FANFARE_TOKEN:+header = \"Authorization: Bearer $FANFARE_TOKEN\"}" |
    curl --silent --show-error --config - \
      --retry 10 --retry-all-errors --retry-max-time 60 --max-time 10 \
      --header 'Content-Type: application/json' --header "Idempotency-Key: $key" --data-binary "$json" \
      --output "$answer" --write-out '%{http_code}' \
      "${FANFARE_URL:-http://localhost:8080}/v1/topics/$topic/publications"
)
cat "$answer"
echo
[ "$status" = 200 ]
