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
case "${CI:-false}" in
true) deploy/setup.sh fetch || : ;;
esac
# runc of Debian and Docker's containerd do not go together: on a person's machine only if asked for.
case "${CI:-false} $* " in
true\ * | *" --kube "*)
	deploy/setup.sh image || :
	deploy/setup.sh kube || :
	;;
esac
exec /usr/bin/python3 tests/run.py "$@"
