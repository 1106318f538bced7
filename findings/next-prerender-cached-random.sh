#!/usr/bin/env bash
# Next.js 16.4.6: with `cacheComponents`, the check for random values in a prerendered component misses `nanoid()`
#
# Guess: `next build` fails if a client component reads random bytes while it is prerendered, directly or in a library: each
# visitor would get the same ones.
#
# What happens: `crypto.getRandomValues()` in the component fails the build. `nanoid()`, which calls the same function, does
# not: it fills a pool once, and Next only refuses a read in a later render. The HTML of every visitor has the same id.
#
# For users: a build without an error does not show that a page has no fixed ids. Create ids in effects and event handlers.
# A library that reads random bytes when an object is created breaks such a build; read them when they are first needed.
# Needs npm. Takes two minutes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export NEXT_TELEMETRY_DISABLED=1 NO_COLOR=1
echo '{"private":true,"type":"module"}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts next@16.4.6 react@19.3.1 react-dom@19.3.1 nanoid@5.1.12
mkdir app
echo 'export default { cacheComponents: true };' >next.config.js
echo 'export default function Layout({ children }) { return <html><body>{children}</body></html>; }' >app/layout.jsx
echo "import { Id } from './id.jsx'; export default function Page() { return <Id />; }" >app/page.jsx

fail() {
  echo "not as described: $1"
  exit 1
}
# Builds a page whose client component has this expression as its state. Prints what the HTML shows, or "refused".
built() { # expression
  cat >app/id.jsx <<JS
'use client';
import { nanoid } from 'nanoid';
import { useState } from 'react';
export function Id() {
  const [id] = useState(() => String($1));
  return <p>{id}</p>;
}
JS
  rm -rf .next
  if timeout 300 node node_modules/next/dist/bin/next build >log 2>&1; then
    grep -o '<p>[^<]*</p>' .next/server/app/index.html
  elif grep -q 'unstable value `crypto.getRandomValues()` in a Client Component' log; then
    echo refused
  else
    tail -20 log >&2
    return 1
  fi
}

echo "next $(node -p "require('next/package.json').version")"
direct=$(built 'crypto.getRandomValues(new Uint8Array(4))')
echo "crypto.getRandomValues(): $direct"
pooled=$(built 'nanoid()')
echo "nanoid(): $pooled"
[ "$direct" = refused ] || fail 'the direct call was not refused'
[[ "$pooled" =~ ^\<p\>[A-Za-z0-9_-]{21}\</p\>$ ]] || fail 'nanoid() was refused'
echo 'as described: only the direct call is refused; the id of nanoid() is in the HTML'
