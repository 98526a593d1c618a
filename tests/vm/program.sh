#!/bin/sh
# SPDX-License-Identifier: MIT
# A test can be any program: it is copied in, run, and its exit code says how it went.
set -eu
[ "$(uname -s)" = Linux ]
marker begin program
marker end program
[ "$(marker 2>&1 || true)" = "usage: marker begin NAME | marker end NAME" ]
