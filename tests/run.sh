#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, then builds and runs them: see tests/run.sh --help.
set -euo pipefail
cd "$(dirname "$0")/.."
case " $* " in
*" -h "* | *" --help "*) ;;
*) deploy/setup.sh build test demo bench ;;
esac
# Without these a suite is skipped, and says so.
case "${CI:-false} $* " in
true\ * | *" --vm "*)
	deploy/setup.sh vm || :
	deploy/setup.sh arm64 || :
	;;
esac
exec /usr/bin/python3 tests/run.py "$@"
