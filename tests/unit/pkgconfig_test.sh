#!/bin/sh
# SPDX-License-Identifier: MIT
# What is installed is enough to build the example: with pkg-config and nothing of the tree.
set -eu
tree=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
DESTDIR="$folder/root" meson install -C "$tree/build" --no-rebuild > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
cp -r "$tree/examples/counter" "$folder/example"
export PKG_CONFIG_SYSROOT_DIR="$folder/root"
PKG_CONFIG_PATH=$(dirname "$(find "$folder/root" -name libelisa.pc)"):$(dirname "$(find "$folder/root" -name elisa-sub.pc)")
export PKG_CONFIG_PATH
make -s -C "$folder/example" all
for file in object.elf manager client; do
	[ -s "$folder/example/$file" ] || { echo "$file was not made"; exit 1; }
done
