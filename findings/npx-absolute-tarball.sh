#!/usr/bin/env bash
# npm 11.19.1: `npx /path/to/package.tgz` tries to run the tarball as a program
#
# Guess: `npx` installs a tarball and runs its command, whether its path is relative or absolute.
#
# What happens: `npx ./package.tgz` does that. With an absolute path, the shell runs the tarball itself: "Permission
# denied", and code 126.
#
# For users: a script that builds an absolute path fails. Write `npx --package /path/to/package.tgz <command>`, or
# `file:` before the path.
# Needs npm.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts npm@11.19.1
npx=(node "$dir/node_modules/npm/bin/npx-cli.js" --yes)

mkdir package
cat >package/package.json <<'JSON'
{ "name": "some-command", "version": "1.0.0", "bin": "./command.js" }
JSON
printf '#!/usr/bin/env node\nconsole.log("the command runs");\n' >package/command.js
tar -czf package.tgz package

echo "npm $(node "$dir/node_modules/npm/bin/npm-cli.js" --version 2>/dev/null), Node.js $(node --version)"
relative=$("${npx[@]}" ./package.tgz 2>/dev/null)
echo "npx ./package.tgz: $relative"
status=0
absolute=$("${npx[@]}" "$dir/package.tgz" 2>&1) || status=$?
echo "npx /path/to/package.tgz: code $status, $(tail -n 1 <<<"$absolute" | sed "s#$dir#/path/to#")"
named=$("${npx[@]}" --package "$dir/package.tgz" some-command 2>/dev/null)
echo "npx --package /path/to/package.tgz some-command: $named"
file=$("${npx[@]}" "file:$dir/package.tgz" 2>/dev/null)
echo "npx file:/path/to/package.tgz: $file"
if [ "$status" != 126 ] || [ "$relative$named$file" != 'the command runsthe command runsthe command runs' ]; then
  echo 'not as described'
  exit 1
fi
echo 'as described: npx ran the tarball with the absolute path as a program'
