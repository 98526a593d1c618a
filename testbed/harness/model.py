# SPDX-License-Identifier: MIT
"""A time for what was counted: a model, never in one column with what was measured."""

# A rate, assumed; and what is left then of the paper's 196 ns for a null call by ELISA (56 instructions and three
# VMFUNCs), and of its 699 ns for one by VMCALL (some 800 instructions in guest and host, and one exit).
MODEL = {"instructions per ns": 3.0, "ns per VMFUNC": 59.1, "ns per exit": 432.0}


def modelled_ns(instructions, vmfuncs, exits):
    return (instructions / MODEL["instructions per ns"] + vmfuncs * MODEL["ns per VMFUNC"] + exits * MODEL["ns per exit"])


def in_words():
    return "modelled with " + ", ".join(f"{value:g} {name}" for name, value in MODEL.items()) + ": a model, not a measurement"
