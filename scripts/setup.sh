#!/usr/bin/env bash
# Installs what is missing before `npm start` and `npm test`: npm packages (a pinned Node among
# them), and on Debian as root the container tools. Says what it does and why; does nothing twice.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }
[ -t 2 ] || say() { printf '%s\n' "$*" >&2; }

stamp=node_modules/.navarch-lock
if ! cmp -s package-lock.json "$stamp" 2>/dev/null || [ ! -x node_modules/.bin/node ]; then
  say "Installing npm packages ..."
  # The lock file names the versions. `npm ci` also wants the optional packages of other platforms in
  # it, and refuses the whole when a registry does not have them all.
  npm install --no-save --no-audit --no-fund --loglevel=error
  cp package-lock.json "$stamp"
  # The first start is as quick as the second when the compiled program is at hand already.
  node_modules/.bin/node scripts/warm.ts >/dev/null 2>&1 || true
fi

# `npx navarch` in a clone: the program from its source, with the Node that it pins.
program=node_modules/.bin/navarch
if [ ! -e "$program" ]; then
  cat >"$program" <<'end'
#!/bin/sh
bin=$(dirname "$0")
exec "$bin/node" "$bin/../../src/cli/main.ts" "$@"
end
  chmod 755 "$program"
fi

# Real containers need Linux and root; without them Navarch runs a simulated node and says so.
[ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || exit 0

# package: the file that shows that it is there: why Navarch needs it
needs='
containerd:/usr/bin/containerd:runs the containers
runc:/usr/sbin/runc:starts a container (fallback)
crun:/usr/bin/crun:starts a container (faster)
containernetworking-plugins:/usr/lib/cni/bridge:gives pods their network
nftables:/usr/sbin/nft:Service addresses
iproute2:/usr/sbin/ip:network interfaces
conntrack:/usr/sbin/conntrack:clears stale UDP flows
busybox-static:/bin/busybox:the demo image is made from it
socat:/usr/bin/socat:port-forward to localhost listeners
unzip:/usr/bin/unzip:unpacks kubectl for the tests
curl:/usr/bin/curl:tests talk to Services with it
'
missing=()
while IFS=: read -r package file why; do
  [ -n "$package" ] || continue
  if [ ! -e "$file" ] && [ ! -e "/usr${file#/usr}" ] && ! command -v "$(basename "$file")" >/dev/null 2>&1; then
    missing+=("$package")
    say "  $package is missing: $why"
  fi
done <<<"$needs"
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  say "Please install with your package manager: ${missing[*]} (until then Navarch runs a simulated node)"
  exit 0
fi
say "Installing Debian packages: ${missing[*]} ..."
export DEBIAN_FRONTEND=noninteractive
# Installing containerd must not start a system-wide one: Navarch runs its own.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  made_policy=1
fi
trap '[ -z "$made_policy" ] || rm -f "$policy"' EXIT
log=$(mktemp)
if ! { apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
  { apt-get update >>"$log" 2>&1 && apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; }; }; then
  tail -n 20 "$log" >&2
  say "Could not install: ${missing[*]}. Navarch will say what it cannot do without them."
fi
rm -f "$log"
