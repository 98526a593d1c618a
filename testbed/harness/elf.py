# SPDX-License-Identifier: MIT
"""A kernel's ELF file without the zeros that its segments end in and the holes between them.

A third of it: every byte is copied through emulated memory several times before a guest runs.
"""

import struct

HEADER = 4096       # room for the ELF header and the program headers
PT_LOAD = 1
PROGRAM = struct.Struct("<IIQQQQQQ")


def compact(data):
    """The same segments with the same contents once loaded; no sections."""
    table, = struct.unpack_from("<Q", data, 32)
    count, = struct.unpack_from("<H", data, 56)
    out = bytearray(data[:HEADER])
    struct.pack_into("<Q", out, 40, 0)             # no section header table
    struct.pack_into("<HHH", out, 58, 64, 0, 0)
    moved = []                                      # (old offset, size, new offset) of what is kept
    for index in range(count):
        place = table + PROGRAM.size * index
        kind, flags, offset, virtual, physical, size, memory, _ = PROGRAM.unpack_from(data, place)
        if kind == PT_LOAD:
            segment = data[offset:offset + size].rstrip(b"\0")
            out += bytes(-len(out) % HEADER)
            moved.append((offset, size, len(out)))
            PROGRAM.pack_into(out, place, kind, flags, len(out), virtual, physical, len(segment), memory, HEADER)
            out += segment
        else:  # notes and the like lie within a loaded segment
            new = next(at + offset - old for old, length, at in moved if old <= offset < old + length)
            PROGRAM.pack_into(out, place, kind, flags, new, virtual, physical, size, memory, 4)
    return bytes(out)
