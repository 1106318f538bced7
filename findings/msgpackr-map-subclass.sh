#!/usr/bin/env bash
# msgpackr 2.1.4: an instance of a subclass of Map is written as an empty object
#
# Guess: with `moreTypes`, a subclass of Map is written like a map. Subclasses of Set, Array and Date are written like
# their base classes.
#
# What happens: the entries are lost without an error. It is written as an object with the instance's own fields, and a
# map has no such fields. Subclasses of Set, Array and Date are written as guessed.
#
# For users: convert it first (`new Map(prices)`), or register `addExtension({ Class: Map, write: (map) => new Map(map) })`.
# Needs npm.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts msgpackr@2.1.4

cat >main.cjs <<'JS'
const { Packr } = require('msgpackr');
const packr = new Packr({ moreTypes: true });
class Prices extends Map {}
class Tags extends Set {}
class Rows extends Array {}
class Day extends Date {}
const through = (value) => packr.unpack(packr.pack(value));
const results = {
  Map: through(new Map([['BTC', 1]])).size,
  'subclass of Map': Object.keys(through(new Prices([['BTC', 1]]))).length,
  'subclass of Set': through(new Tags(['a'])).size,
  'subclass of Array': through(Rows.of('a')).length,
  'subclass of Date': through(new Day(5)).getTime(),
};
console.log(JSON.stringify(results));
JS
result=$(timeout 20 node main.cjs)
echo "msgpackr 2.1.4, entries after a round trip: $result"
expected='{"Map":1,"subclass of Map":0,"subclass of Set":1,"subclass of Array":1,"subclass of Date":5}'
if [ "$result" != "$expected" ]; then
  echo "not as described: expected $expected"
  exit 1
fi
echo 'as described: the entries of the subclass of Map are lost'
