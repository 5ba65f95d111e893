#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what it needs, builds weft, and runs the live tests under other kernels: see run.sh --help.
set -euo pipefail
cd "$(dirname "$0")/../.."
case " $* " in
*" -h "* | *" --help "*) ;;
*" --arch arm64 "* | *" --arch=arm64 "*) deploy/setup.sh build test demo bench vm arm64 ;;
*) deploy/setup.sh build test demo bench vm ;;
esac
exec /usr/bin/python3 tests/vm/run.py "$@"
