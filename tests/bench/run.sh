#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds weft and the bench's programs, then runs bench.py, or, as `run.sh
# replay`, replay.py: see run.sh --help.
set -euo pipefail
cd "$(dirname "$0")/../.."

tool=bench.py
if [ "${1:-}" = replay ]; then
	tool=replay.py
	shift
fi

case " $* " in
*" -h "* | *" --help "*) ;;
*)
	if [ "$(id -u)" -eq 0 ]; then
		case " $*" in
		*" --guest"*) deploy/setup.sh build bench vm ;;
		*) deploy/setup.sh build bench ;;
		esac
	fi
	;;
esac
case " $* " in
*" --build "* | *" --build="* | *" -h "* | *" --help "*) ;;
*)
	export WEFT_BUILD=$PWD/build-bench
	[ -d "$WEFT_BUILD" ] || meson setup "$WEFT_BUILD" --buildtype=release -Db_ndebug=false >/dev/null
	ninja -C "$WEFT_BUILD" >"$WEFT_BUILD/ninja.log" || { cat "$WEFT_BUILD/ninja.log" >&2; exit 1; }
	;;
esac
exec /usr/bin/env python3 "tests/bench/$tool" "$@"
