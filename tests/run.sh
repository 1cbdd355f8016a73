#!/usr/bin/env bash
# The whole suite. As root it first sees to a Docker engine and the sandbox image; without them the Docker tests
# are left out, which the last line says and KIMICODE_REQUIRE_DOCKER=1 turns into a failure.
set -uo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" = 0 ]; then
    bash tests/engine.sh || echo "no Docker engine could be set up: see above" >&2
fi
exec python -m pytest -n 2 --dist worksteal "$@"
