#!/usr/bin/env bash
# React 19.3.1: in StrictMode, effects run twice each time an `<Activity>` is shown, not only when a component mounts
#
# Guess: StrictMode runs effects, their cleanup, and the effects again when a component mounts. When a hidden `<Activity>`
# is shown again, nothing mounts, so the effects run once.
#
# What happens: each time it is shown, the effects run, are cleaned up, and run again. Without StrictMode they run once.
#
# For users: in development, code in an effect that counts views, or connects, does so twice each time a tab or a route is
# shown. A store whose users drop to 0 for a moment at mount does so at each of these times too.
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
const { act, Activity, createElement, StrictMode, useEffect, version } = require('react');
const { createRoot } = require('react-dom/client');

async function effectsWith(parent) {
  const log = [];
  const Child = () => {
    useEffect(() => {
      log.push('on');
      return () => log.push('off');
    }, []);
    return null;
  };
  const root = createRoot(document.createElement('div'));
  const steps = [];
  for (const mode of ['visible', 'hidden', 'visible', 'hidden', 'visible']) {
    await act(async () => root.render(parent(createElement(Activity, { mode }, createElement(Child)))));
    steps.push(log.splice(0).join(' '));
  }
  return steps.join(' | ');
}

(async () => {
  const plain = await effectsWith((child) => child);
  const strict = await effectsWith((child) => createElement(StrictMode, null, child));
  console.log(`React ${version}: mounted | hidden | shown | hidden | shown`);
  console.log(`without StrictMode: ${plain}`);
  console.log(`with StrictMode: ${strict}`);
  if (plain !== 'on | off | on | off | on' || strict !== 'on off on | off | on off on | off | on off on') {
    console.log('not as described');
    process.exit(1);
  }
  console.log('as described: StrictMode repeats effects each time an Activity is shown');
})();
JS
node main.cjs
