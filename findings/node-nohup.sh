#!/usr/bin/env bash
# Node.js 22.23.5 and 26.12.1: `nohup` does not protect a Node.js process from SIGHUP
#
# Guess: `nohup node server.js` survives SIGHUP: nohup makes the process ignore it, and exec keeps ignored signals ignored.
#
# What happens: Node.js resets SIGHUP to its default at start, so the process ends. The same nohup protects `sleep`.
#
# For users: a server that was started with nohup ends with the terminal. Use setsid, a service manager, or a SIGHUP listener.
# Needs npm, on Linux.
set -euo pipefail
dir=$(mktemp -d)
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
arch=$(node -p process.arch)
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts "node22@npm:node-linux-$arch@22.23.5" "node26@npm:node-linux-$arch@26.12.1"

# Starts the command below nohup, waits for its line "up", sends SIGHUP, and says whether it is there a second later.
after_sighup() {
  : >out
  nohup "$@" >out 2>/dev/null &
  local pid=$!
  pids+=("$pid")
  disown
  for _ in {1..100}; do grep -q up out && break || sleep 0.1; done
  kill -HUP "$pid"
  sleep 1
  if kill -0 "$pid" 2>/dev/null; then echo survived; else echo ended; fi
}

program='console.log("up"); setTimeout(() => {}, 10_000)'
expected=survived
for command in sh node_modules/node22/bin/node node_modules/node26/bin/node; do
  if [ "$command" = sh ]; then
    result=$(after_sighup sh -c 'echo up; exec sleep 10')
    echo "sleep: $result"
  else
    result=$(after_sighup "$command" -e "$program")
    echo "node $("$command" --version): $result"
  fi
  if [ "$result" != "$expected" ]; then
    echo "not as described: expected that it $expected"
    exit 1
  fi
  expected=ended
done
echo 'as described: SIGHUP ends Node.js below nohup'
