// SPDX-License-Identifier: MIT
/* Where clients meet: they reach each other's memory through it, wake each other, and count together. */
#include <elisa/object.h>

/* At the start of the memory, for calls by the gate and by the host alike. */
struct together {
	struct elisa_lock lock;
	uint64_t left, right, repairs;
};

ELISA_ENTRY(number)
{
	return info->attachment;
}

ELISA_ENTRY(serial, uint64_t owner, uint64_t index)
{
	return (long)elisa_exchange_serial(info, (uint32_t)owner, index);
}

ELISA_ENTRY(put, uint64_t owner, uint64_t index, uint64_t offset, uint64_t byte)
{
	volatile uint8_t *at = elisa_exchange(info, (uint32_t)owner, index, offset, 1);

	if (!at)
		return -EINVAL;
	*at = (uint8_t)byte;
	return 0;
}

ELISA_ENTRY(get, uint64_t owner, uint64_t index, uint64_t offset)
{
	volatile uint8_t *at = elisa_exchange(info, (uint32_t)owner, index, offset, 1);

	return at ? *at : -EINVAL;
}

/* Looks once whether it is there, and then writes it for a long time: how often. */
ELISA_ENTRY(linger, uint64_t owner, uint64_t index, uint64_t turns)
{
	volatile uint8_t *at = elisa_exchange(info, (uint32_t)owner, index, 0, 1);

	if (!at)
		return -EINVAL;
	for (uint64_t turn = 0; turn < turns; turn++)
		*at = (uint8_t)turn;
	return (long)turns;
}

ELISA_ENTRY(wake, uint64_t attachment)
{
	elisa_notify(info, (uint32_t)attachment);
	return 0;
}

/* 1 more on both sides, which are equal whenever nobody has the lock; how many, or -EIO. */
ELISA_ENTRY(count, uint64_t turns)
{
	struct together *together = elisa_memory(info, 0, sizeof(*together));
	long result;

	if (!together)
		return -ENOMEM;
	if (elisa_lock(&together->lock, info) == -EOWNERDEAD) {
		together->right = together->left;
		together->repairs++;
	}
	result = together->left == together->right ? (long)++together->left : -EIO;
	for (volatile uint64_t turn = 0; turn < turns; turn++)
		;
	together->right = together->left;
	/* Whoever loses its lock does not get here: its call is aborted. */
	return elisa_unlock(&together->lock, info) ? -EUCLEAN : result;
}

ELISA_ENTRY(repaired)
{
	struct together *together = elisa_memory(info, 0, sizeof(*together));

	return together ? (long)together->repairs : -ENOMEM;
}
