# SPDX-License-Identifier: MIT
"""Four guests at once on one CPU, as many as the testbed promises."""


def run(test):
    guests = test.guests(4)
    test.equal([guest.call("hostname guest-$$; echo up").strip() for guest in guests], ["up"] * 4, "answers")
    test.check(len(set(guest.call("cat /proc/sys/kernel/random/boot_id") for guest in guests)) == 4, "two guests are one")
