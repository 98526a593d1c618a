/* SPDX-License-Identifier: MIT */
/*
 * Markers: what the emulator counts between (emulator/instrument/counts.cc).
 *
 * Each is one prefetch of an address that nothing else prefetches. It needs no
 * privilege, never exits to the host, works in a guest as in the host, in the
 * kernel as in user space, and on a real CPU does nothing.
 *
 * A region has a number (0 to 255, a constant) and the name that it was last
 * given. Numbers from 128 on belong to the command `marker`.
 *
 *	marker_name(1, "null call");
 *	marker_begin(1);
 *	...               what is here is counted, and the markers are not
 *	marker_end(1);
 */
#ifndef TESTBED_MARKER_H
#define TESTBED_MARKER_H

#define MARKER_NAME_MAX 32 /* bytes of a name that are kept */

#define marker__at(region, what) \
	asm volatile("prefetcht2 %c0" : : "i"(0xffffffffe1150000 + (region)*256 + (what)) : "memory")

#define marker_begin(region) marker__at(region, 1)
#define marker_end(region) marker__at(region, 2)

static inline void marker__words(const char *name, unsigned long words[4])
{
	char text[MARKER_NAME_MAX] = "";

	for (char *to = text; *name && to < text + sizeof(text);)
		*to++ = *name++;
	__builtin_memcpy(words, text, sizeof(text));
}

/* The name travels in registers, so that no memory of ours is looked at. */
#define marker_name(region, name)                                                                                  \
	do {                                                                                                       \
		unsigned long marker__word[4];                                                                     \
		marker__words(name, marker__word);                                                                 \
		register unsigned long marker__r8 asm("r8") = marker__word[3];                                     \
		asm volatile("prefetcht2 %c0"                                                                      \
			     :                                                                                     \
			     : "i"(0xffffffffe1150000 + (region)*256), "S"(marker__word[0]), "d"(marker__word[1]), \
			       "c"(marker__word[2]), "r"(marker__r8)                                               \
			     : "memory");                                                                          \
	} while (0)

#endif
