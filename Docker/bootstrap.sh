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
tests=(gcc libc6-dev python3 python3-venv curl wrk strace openmpi-bin)

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

if [ ${#missing[@]} -gt 0 ]; then
  sudo=()
  if [ "$(id -u)" -ne 0 ]; then sudo=(sudo); fi
  export DEBIAN_FRONTEND=noninteractive
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

# The openai client, which the integration tests put in front of Portico, in a Python of its own.
# Nothing else needs it, so a machine that cannot reach PyPI still builds and runs the demo.
if [ "${1:-all}" = all ]; then
  cd "$(dirname "$0")/.."
  if ! compgen -G '.build/python/lib/python*/site-packages/openai' > /dev/null; then
    # The distribution's Python where there is one: its venv was seen to above.
    if [ -x /usr/bin/python3 ]; then system=/usr/bin/python3; else system=python3; fi
    "$system" -m venv --clear .build/python &&
      .build/python/bin/python -m pip install --quiet --disable-pip-version-check 'openai>=1.40' ||
      echo "bootstrap: the openai client could not be installed; its integration test will fail" >&2
  fi
fi
