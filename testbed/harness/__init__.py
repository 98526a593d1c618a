# SPDX-License-Identifier: MIT
"""The emulated machine and the tests that run in it."""
