# Shared by the scripts: where things are, and how they speak. Sourced, not run.
set -euo pipefail
fb_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
fb_started=$SECONDS

# One line that says what happens now, with the seconds since the start.
say() { printf '[%4ds] %s\n' "$((SECONDS - fb_started))" "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 2; }

fb_release() {
  local name
  name=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
  case "$name" in
    bookworm | trixie) echo "$name" ;;
    *) die "this is not Debian 12 (bookworm) or 13 (trixie); install what scripts/packages/ lists and run cmake --preset dev" ;;
  esac
}

# install_packages SET...: what of these sets is missing. Needs root or sudo only when something is.
install_packages() {
  local release wanted missing=() run=()
  release=$(fb_release)
  for set in "$@"; do
    wanted+=" $(grep -v '^#' "$fb_root/scripts/packages/$set.$release" | tr '\n' ' ')"
  done
  for package in $wanted; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
  done
  [ "${#missing[@]}" -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "these packages are missing and this is neither root nor is there sudo: ${missing[*]}"
    run=(sudo)
  fi
  say "installing ${#missing[@]} distribution packages: ${missing[*]}"
  local log; log=$(mktemp)
  "${run[@]}" apt-get update -qq >"$log" 2>&1 || { cat "$log" >&2; die "apt-get update failed"; }
  # A long download shows one dot a second.
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >"$log" 2>&1 &
  local pid=$!
  while kill -0 "$pid" 2>/dev/null; do printf '.'; sleep 1; done
  printf '\n'
  wait "$pid" || { tail -n 20 "$log" >&2; die "apt-get install failed"; }
  rm -f "$log"
}

# configure PRESET [CMAKE ARGUMENT...], build PRESET TARGET...
configure() {
  local log preset=$1; log=$(mktemp)
  shift
  say "configuring build/$preset"
  (cd "$fb_root" && cmake --preset "$preset" "$@") >"$log" 2>&1 || { cat "$log" >&2; die "the configuration failed"; }
  rm -f "$log"
}
show_progress() {
  local line shown=0
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
    ((BASH_REMATCH[1] * 10 / BASH_REMATCH[2] > shown)) || continue
    shown=$((BASH_REMATCH[1] * 10 / BASH_REMATCH[2]))
    say "  ${BASH_REMATCH[1]} of ${BASH_REMATCH[2]}"
  done
}
build() {
  local preset=$1 log; log=$(mktemp)
  shift
  say "building ${*:-everything} in build/$preset (a few minutes the first time on two cores)"
  export CCACHE_BASEDIR="$fb_root" CCACHE_NOHASHDIR=1 NINJA_STATUS='[%f/%t] '
  # One line a tenth of the way; what the compiler says comes only when something fails.
  if ! ninja -C "$fb_root/build/$preset" "$@" 2>&1 | tee "$log" | show_progress; then
    grep -v '^\[' "$log" | tail -n 80 >&2
    die "the build failed; its whole output is in $log"
  fi
  rm -f "$log"
}
