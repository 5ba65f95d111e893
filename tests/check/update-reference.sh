#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Writes the table of options into README.md, between its markers, as weft itself prints it.
set -euo pipefail
cd "$(dirname "$0")/../.."

weft=${WEFT_BIN:-build/agent/weft}
reference=$(mktemp)
new=$(mktemp)
trap 'rm -f "$reference" "$new"' EXIT
"$weft" check-config --reference >"$reference"
awk -v reference="$reference" '
	/<!-- options:end -->/ { inside = 0 }
	!inside { print }
	/<!-- options:begin -->/ {
		inside = 1
		while ((getline line < reference) > 0)
			print line
	}
' README.md >"$new"
cat "$new" >README.md
