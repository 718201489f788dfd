#!/usr/bin/env bash
# Builds the release of the last commit twice, in folders of different names and each with a compiler cache of its own, and compares all
# files. It has them on empty bases unless BASE says otherwise. It takes the time and, for a while, the disk of two builds: some GB.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export REVISION SOURCE_DATE_EPOCH
REVISION=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
for folder in one a/deeper/two; do
	mkdir -p "$work/$folder"
	git archive "$REVISION" | tar -x -C "$work/$folder"
	GOCACHE="$work/cache" make -C "$work/$folder" release BASE="${BASE:-empty}" MODIFIED=false
	rm -rf "$work/cache"
done
diff <(cd "$work/one/dist" && sha256sum ./*) <(cd "$work/a/deeper/two/dist" && sha256sum ./*)
echo "The same twice:"
cat "$work/one/dist/SHA256SUMS"
