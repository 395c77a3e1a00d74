#!/usr/bin/env bash
# Installs what Portico needs besides the Swift toolchain, on Debian 12 or a recent Ubuntu.
# Safe to run again: what is there already is left alone.
#
#   Docker/bootstrap.sh          libraries to build and run, and the peers that the tests talk to
#   Docker/bootstrap.sh build    libraries to build only (what the image needs)
#   Docker/bootstrap.sh run      libraries to run only
set -euo pipefail

build=(libyaml-dev libcurl4-openssl-dev libssl-dev pkg-config)
run=(libyaml-0-2 libcurl4)
tests=(python3 curl wrk strace)

case "${1:-all}" in
  build) wanted=("${build[@]}") ;;
  run) wanted=("${run[@]}") ;;
  all) wanted=("${build[@]}" "${tests[@]}") ;;
  *)
    echo "usage: Docker/bootstrap.sh [build|run]" >&2
    exit 2
    ;;
esac

missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
    missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
