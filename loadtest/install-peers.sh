#!/bin/sh
# Installs the servers that Fanfare is compared with and that are no npm packages (Debian, Ubuntu): nats-server, nginx
# with nchan, mosquitto. The load test starts them itself, on ports of their own: no service is started or enabled.
set -eu

if [ "$(id -u)" = 0 ]; then sudo=''; else sudo='sudo'; fi

# Packages ask this file whether they may start their service (invoke-rc.d); 101 is no. One that is there stays as it
# is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '$sudo rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
  $sudo chmod +x "$policy"
fi

apt() {
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@"
}

packages='nats-server nginx libnginx-mod-nchan mosquitto'
new=''
for package in $packages; do
  dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || new="$new $package"
done

# A fresh machine has no package lists yet, or old ones.
# shellcheck disable=SC2086 # Several words are meant.
apt install -y --no-install-recommends $packages || { apt update && apt install -y --no-install-recommends $packages; }

# A package enables its service even where it may not start it. Those that were here before stay as they are.
for package in $new; do
  case "$package" in
    libnginx-mod-nchan) ;;
    *) $sudo systemctl disable "$package" >/dev/null 2>&1 || true ;;
  esac
done
