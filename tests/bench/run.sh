#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds weft and the bench's programs, then runs bench.py, or, as `run.sh replay`, replay.py: one
# table on standard output.
set -euo pipefail
cd "$(dirname "$0")/../.."

tool=bench.py
if [ "${1:-}" = replay ]; then
	tool=replay.py
	shift
fi

build=build-bench
case " $* " in
*" --build "* | *" --build="* | *" -h "* | *" --help "*) ;;
*)
	[ -d "$build" ] || meson setup "$build" --buildtype=release -Db_ndebug=false >/dev/null
	ninja -C "$build" >"$build/ninja.log" || { cat "$build/ninja.log" >&2; exit 1; }
	set -- --build "$PWD/$build" "$@"
	;;
esac
exec /usr/bin/env python3 "tests/bench/$tool" "$@"
