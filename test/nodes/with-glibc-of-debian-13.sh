#!/usr/bin/env bash
# Runs a command with the C library of Debian 13, which the binaries of uWebSockets.js for Node 22 and later need. On a
# system that has it already, it only runs the command. Otherwise, it needs Debian 12 and root: it downloads the package
# libc6 of Debian 13, and lays its files over those of this system, in a mount namespace that only the command sees.
#   test/nodes/with-glibc-of-debian-13.sh node broker/dist/main.js
set -euo pipefail
needed=2.38
present=$(getconf GNU_LIBC_VERSION | cut -d ' ' -f 2)
[ "$(printf '%s\n' "$needed" "$present" | sort -V | head -n 1)" != "$needed" ] || exec "$@"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "This system has glibc $present. Run this on Debian 13, or as root on Debian 12." >&2
  exit 1
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/lists/partial" "$dir/sources"
# The same archive, another suite.
archive=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources | head -n 1)
cat >"$dir/sources/trixie.sources" <<SOURCE
Types: deb
URIs: $archive
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCE
apt() {
  apt-get -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$dir/sources" \
    -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir" -o APT::Sandbox::User=root "$@"
}
apt update
(cd "$dir" && apt download libc6)
dpkg-deb -x "$dir"/libc6_*.deb "$dir/root"

libraries=$(cd "$dir/root" && echo usr/lib/*-linux-gnu)
# One mount replaces all files at once: with half of a new C library, no program would start.
unshare --mount bash -c 'mount -t overlay glibc -o "lowerdir=$1:$2" "$2" && shift 2 && exec "$@"' \
  bash "$dir/root/$libraries" "/$libraries" "$@"
