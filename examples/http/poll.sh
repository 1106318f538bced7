#!/bin/sh
# Prints each page of publications of a topic from now on, as JSON lines, by long polling with curl 7.84 or later.
#   poll.sh <topic>
# FANFARE_URL: http://localhost:8080 if unset. FANFARE_TOKEN: a token or an API key, if the broker requires one.
set -eu
page=$(mktemp)
trap 'rm -f "$page"' EXIT

# Prints the status and the position of the answer, and writes the body to $page.
read_page() {
  printf '%s' "${FANFARE_TOKEN:+header = \"Authorization: Bearer $FANFARE_TOKEN\"}" |
    curl --silent --show-error --config - --max-time 60 --retry 10 --retry-all-errors \
      --output "$page" --write-out '%{http_code} %header{fanfare-position}' \
      "${FANFARE_URL:-http://localhost:8080}/v1/topics/$topic/publications?since=$since$1"
}

topic=$1
since=now
# The first answer comes at once, so that the loop knows where it begins.
wait=
while answer=$(read_page "$wait"); do
  case $answer in
    200*) [ "$since" = now ] || { cat "$page"; echo; } ;;
    204*) ;;
    *) cat "$page" >&2; exit 1 ;;
  esac
  since=${answer#* }
  wait='&wait=25'
done
exit 1
