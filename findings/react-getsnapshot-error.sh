#!/usr/bin/env bash
# React 19.3.1: `useSyncExternalStore` discards the error of a `getSnapshot` that it calls after a change
#
# Guess: a store changes, React calls `getSnapshot`, and that throws. The error boundary around the component gets the error.
#
# What happens: React discards this error and renders again, which calls `getSnapshot` again. Only if it throws again does
# the error boundary get an error, a later one.
#
# For users: a store that reports a failure once, and then returns its last good value, shows nothing. Throw until the
# store is read by a new component.
# Needs npm.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts react@19.3.1 react-dom@19.3.1 jsdom@26.1.0

cat >main.cjs <<'JS'
const { JSDOM } = require('jsdom');
const { window } = new JSDOM('<div></div>');
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
// Node.js 20 has none.
globalThis.navigator ??= window.navigator;
const { act, Component, createElement, useSyncExternalStore, version } = require('react');
const { createRoot } = require('react-dom/client');
// React logs errors that a boundary gets.
console.error = () => {};
console.warn = () => {};

class Boundary extends Component {
  state = { error: null };
  static getDerivedStateFromError(error) {
    return { error };
  }
  render() {
    return this.state.error === null ? this.props.children : `boundary: ${this.state.error.message}`;
  }
}

/** What the page shows after a change, if the next `count` calls of getSnapshot throw. */
async function shownAfter(count) {
  let notify;
  let failures = 0;
  const subscribe = (listener) => {
    notify = listener;
    return () => {};
  };
  const getSnapshot = () => {
    if (failures === 0) return 'the last good value';
    throw new Error(`call ${count + 1 - failures--} failed`);
  };
  const Text = () => useSyncExternalStore(subscribe, getSnapshot);
  const div = document.createElement('div');
  await act(async () => createRoot(div).render(createElement(Boundary, null, createElement(Text))));
  failures = count;
  await act(async () => notify());
  return div.textContent;
}

(async () => {
  const once = await shownAfter(1);
  const always = await shownAfter(1000);
  console.log(`React ${version}`);
  console.log(`getSnapshot throws once: ${once}`);
  console.log(`getSnapshot throws each time: ${always}`);
  if (once !== 'the last good value' || !/^boundary: call \d+ failed$/.test(always) || always === 'boundary: call 1 failed') {
    console.log('not as described');
    process.exit(1);
  }
  console.log('as described: the first error is discarded');
})();
JS
node main.cjs
