#!/usr/bin/env bash
# Fetches a recent lavapipe (Mesa's software Vulkan driver) for the tests that run generated WGSL, and prints the path of its
# ICD file, for VK_DRIVER_FILES. Debian 12's own lavapipe is too old for WebGPU, so the one of its backports is unpacked beside
# the system; nothing installed is replaced. Needs root and apt the first time. Where that is not to be had it prints
# nothing on stdout, says why on stderr, and succeeds: those tests are then skipped.
#   usage: export VK_DRIVER_FILES="$(.ci/setup-lavapipe.sh [DIR])"
set -u
target=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/sslc-lavapipe}

give_up() { echo "lavapipe: $1; tests of generated WGSL on an adapter will be skipped" >&2; exit 0; }

mkdir -p "$target" || give_up "cannot write to $target"
target=$(cd "$target" && pwd)
icd=$target/lvp_icd.json
if [ -f "$icd" ]; then echo "$icd"; exit 0; fi
command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up 'apt is not here'
[ "$(id -u)" = 0 ] || give_up 'not root'
# shellcheck disable=SC1091
. /etc/os-release
[ "${ID:-}" = debian ] && [ -n "${VERSION_CODENAME:-}" ] || give_up 'not Debian'

# The libraries that lavapipe links with come with the distribution's own driver package.
if ! dpkg -s libvulkan1 mesa-vulkan-drivers >/dev/null 2>&1; then
  { apt-get update -q && apt-get install -qy --no-install-recommends libvulkan1 mesa-vulkan-drivers; } >/dev/null 2>&1 || give_up 'the Vulkan loader could not be installed'
fi

# The mirror and keys this machine already uses, but the backports suite, with lists and cache of its own.
work=$(mktemp -d) || give_up 'no temporary folder'
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/unpacked"
suite=$VERSION_CODENAME-backports
if [ -f /etc/apt/sources.list.d/debian.sources ]; then
  list=$work/backports.sources
  awk 'BEGIN { RS = ""; ORS = "\n\n" } NR == 1' /etc/apt/sources.list.d/debian.sources | sed -E "s/^Suites:.*/Suites: $suite/" > "$list"
else
  list=$work/backports.list
  sed -nE "s/^deb (\[[^]]*\] )?([^ ]+) $VERSION_CODENAME main.*/deb \1\2 $suite main/p" /etc/apt/sources.list 2>/dev/null | head -n 1 > "$list"
fi
[ -s "$list" ] || give_up 'no Debian mirror is set up'
options=(-o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
apt-get -q "${options[@]}" update >/dev/null 2>&1 || give_up 'the package lists could not be fetched'
(cd "$work" && apt-get -q "${options[@]}" download "mesa-vulkan-drivers/$suite" >/dev/null 2>&1) || give_up "no mesa-vulkan-drivers in $suite"
dpkg -x "$work"/mesa-vulkan-drivers_*.deb "$work/unpacked" || give_up 'the package could not be unpacked'
library=$(find "$work/unpacked" -name libvulkan_lvp.so | head -n 1)
[ -n "$library" ] || give_up 'the package holds no lavapipe'
cp "$library" "$target/libvulkan_lvp.so"
printf '{"file_format_version":"1.0.1","ICD":{"library_path":"%s","api_version":"1.4.0"}}\n' "$target/libvulkan_lvp.so" > "$icd"
echo "$icd"
