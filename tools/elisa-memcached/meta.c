// SPDX-License-Identifier: MIT
/* Meta commands: a letter for each thing that is asked, and answered in the same order. And statistics. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "session.h"

#define OPAQUE_MAX 33 /* with its letter */

/* What a meta command's letters say. */
struct meta {
	bool quiet, value, has[128];
	unsigned char order[128]; /* as which word a letter came */
	uint64_t cas, delta, initial;
	int64_t touch, create, recache;
	uint32_t flags;
	char mode;
	char key[KV_KEY_MAX];
	struct token token; /* the key itself: decoded */
};

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

static bool decode(struct meta *meta, const struct token *from)
{
	size_t bytes = 0;

	if (!from->bytes || from->bytes % 4)
		return false;
	for (size_t at = 0; at < from->bytes; at += 4) {
		const char *four = from->text + at;
		int pad = four[3] == '=' ? four[2] == '=' ? 2 : 1 : 0, digit[4];
		uint32_t word = 0;

		if (pad && at + 4 != from->bytes)
			return false;
		for (int i = 0; i < 4; i++) {
			digit[i] = i >= 4 - pad ? 0 : base64_digit(four[i]);
			if (digit[i] < 0)
				return false;
			word = word << 6 | (uint32_t)digit[i];
		}
		for (int i = 0; i < 3 - pad; i++) {
			if (bytes == KV_KEY_MAX)
				return false;
			meta->key[bytes++] = (char)(word >> (16 - 8 * i));
		}
	}
	meta->token = (struct token){ meta->key, bytes };
	return bytes != 0;
}

/* What follows one letter: NULL, or what is wrong with it. */
static const char *meta_letter(struct meta *meta, const struct token *token)
{
	static const char bad_token[] = "CLIENT_ERROR bad token in command line format";
	struct token rest = { token->text + 1, token->bytes - 1 };

	switch (token->text[0]) {
	case 'q':
		meta->quiet = true;
		return NULL;
	case 'v':
		meta->value = true;
		return NULL;
	case 'C':
		return parse_u64(&rest, &meta->cas) ? NULL : bad_token;
	case 'D':
		return parse_u64(&rest, &meta->delta) ? NULL : "CLIENT_ERROR invalid numeric delta value";
	case 'J':
		return parse_u64(&rest, &meta->initial) ? NULL : "CLIENT_ERROR invalid numeric initial value";
	case 'F':
		return parse_u32(&rest, &meta->flags) ? NULL : "CLIENT_ERROR bad command line format";
	case 'T':
		return parse_i64(&rest, &meta->touch) ? NULL : bad_token;
	case 'N':
		return parse_i64(&rest, &meta->create) ? NULL : bad_token;
	case 'R':
		return parse_i64(&rest, &meta->recache) ? NULL : bad_token;
	case 'M':
		meta->mode = rest.bytes ? rest.text[0] : 0;
		return rest.bytes == 1 ? NULL : "CLIENT_ERROR incorrect length for M token";
	default:
		return NULL;
	}
}

/* What is wrong with the letters themselves, or NULL. */
static const char *meta_letters(const struct words *words, unsigned int first, struct meta *meta)
{
	for (unsigned int i = first; i < words->count; i++) {
		unsigned char letter = (unsigned char)words->token[i].text[0];

		if (letter > 127 || !strchr("bcfhkIlstqvCDFJMNORT", letter) || !letter)
			return "CLIENT_ERROR invalid flag";
		if (meta->has[letter])
			return "CLIENT_ERROR duplicate flag";
		meta->has[letter] = true;
		meta->order[letter] = (unsigned char)i;
	}
	return NULL;
}

/*
 * Reads all letters, from a word on. A word that is wrong is answered here, and ends it; of md and ma (BRIEF) it is not
 * said how.
 */
static bool meta_parse(struct session *session, const struct words *words, unsigned int first, struct meta *meta,
		       bool brief)
{
	const char *wrong;

	*meta = (struct meta){ .delta = 1, .token = words->token[1] };
	if (!key_ok(&meta->token)) {
		out_line(session, "CLIENT_ERROR bad command line format", false);
		return false;
	}
	if (words->count == TOKENS_MAX && words->rest != words->end) {
		out_line(session, "CLIENT_ERROR options flags are too long", false);
		return false;
	}
	wrong = meta_letters(words, first, meta);
	if (!wrong && meta->has['b'] && !decode(meta, &words->token[1]))
		wrong = "CLIENT_ERROR error decoding key";
	for (unsigned int i = first; i < words->count && !wrong; i++)
		wrong = meta_letter(meta, &words->token[i]);
	if (wrong)
		out_line(session, brief ? "CLIENT_ERROR invalid or duplicate flag" : wrong, false);
	else if (meta->has['O'] && words->token[meta->order['O']].bytes > OPAQUE_MAX)
		out_line(session, wrong = "CLIENT_ERROR opaque token too long", false);
	return !wrong;
}

/* The letters of the answer that are the same for all: in the order in which they were asked. */
static void answer(struct session *session, const struct words *words, unsigned int first, const struct meta *meta,
		   bool found)
{
	const struct kv_slot *slot = session->kv->slot;
	struct buffer *out = &session->out;

	for (unsigned int i = first; i < words->count; i++) {
		const struct token *token = &words->token[i];

		switch (token->text[0]) {
		case 'O':
			out_bytes(out, " ", 1);
			out_bytes(out, token->text, token->bytes);
			break;
		case 'k':
			out_bytes(out, " k", 2);
			out_bytes(out, words->token[1].text, words->token[1].bytes);
			if (meta->has['b'])
				out_bytes(out, " b", 2);
			break;
		case 'c':
			if (found)
				out_print(out, " c%lu", slot->item_cas);
			break;
		case 'f':
			if (found)
				out_print(out, " f%u", slot->item_flags);
			break;
		case 's':
			if (found)
				out_print(out, " s%u", slot->item_bytes);
			break;
		case 't':
			if (found)
				out_print(out, " t%d",
					  i < meta->order['T'] && !(slot->item_state & KV_MADE) ? slot->item_had
												: slot->item_left);
			break;
		case 'l':
			if (found)
				out_print(out, " l%u", slot->item_idle);
			break;
		case 'h':
			if (found)
				out_print(out, " h%d", slot->item_state & KV_FETCHED ? 1 : 0);
			break;
		}
	}
}

static void state_letters(struct session *session)
{
	uint32_t state = session->kv->slot->item_state;

	if (state & KV_LOST)
		out_bytes(&session->out, " Z", 2);
	if (state & KV_IS_STALE)
		out_bytes(&session->out, " X", 2);
	if (state & KV_WON)
		out_bytes(&session->out, " W", 2);
}

/* What was done: HD, or what a refusal is called; said quietly or not. */
static void result_line(struct session *session, const struct words *words, unsigned int first, const struct meta *meta,
			const char *word, bool quiet)
{
	if (quiet && meta->quiet)
		return;
	out_bytes(&session->out, word, 2);
	answer(session, words, first, meta, !strcmp(word, "HD"));
	out_bytes(&session->out, "\r\n", 2);
}

void meta_get(struct session *session, const struct words *words)
{
	struct kv_slot *slot = session->kv->slot;
	struct meta meta;
	long result;

	if (!meta_parse(session, words, 2, &meta, false))
		return;
	slot->options = KV_CLAIM | (meta.has['T'] ? KV_TOUCH : 0) | (meta.has['N'] ? KV_CREATE : 0) |
			(meta.has['R'] ? KV_RECACHE : 0) | (meta.order['T'] < meta.order['R'] ? KV_TOUCHED : 0);
	slot->expiry = meta.touch;
	slot->create = meta.order['T'] > meta.order['N'] ? meta.touch : meta.create;
	slot->recache = meta.recache;
	result = call_key(session, KV_FETCH, &meta.token, meta.value ? session->kv->room : 0);
	if (result == -EACCES) { /* only to be read: without what changes it */
		result = call_key(session, KV_GET, &meta.token, meta.value ? session->kv->room : 0);
		slot->item_state = 0;
		slot->item_left = slot->item_had = -1;
		slot->item_idle = 0;
	}
	if (result == -ENOENT) {
		result_line(session, words, 2, &meta, "EN", true);
		return;
	}
	if (result < 0) {
		out_line(session, error_line(result), false);
		return;
	}
	if (meta.value)
		out_print(&session->out, "VA %ld", result);
	else
		out_bytes(&session->out, "HD", 2);
	answer(session, words, 2, &meta, true);
	state_letters(session);
	out_bytes(&session->out, "\r\n", 2);
	if (meta.value) {
		out_bytes(&session->out, slot->value, (size_t)result);
		out_bytes(&session->out, "\r\n", 2);
	}
}

static bool set_parse(struct session *session, const struct words *words, struct meta *meta, uint32_t *mode)
{
	static const char letters[] = "SERAP";
	static const uint32_t modes[] = { KV_SET, KV_ADD, KV_REPLACE, KV_APPEND, KV_PREPEND };
	size_t at = 0;

	if (!meta_parse(session, words, 3, meta, false))
		return false;
	while (meta->has['M'] && letters[at] && letters[at] != meta->mode)
		at++;
	if (!letters[at]) {
		out_line(session, "CLIENT_ERROR invalid mode for ms M token", false);
		return false;
	}
	*mode = modes[at];
	return true;
}

void meta_set_large(struct session *session, const struct words *words)
{
	struct meta meta;
	uint32_t mode;

	if (!set_parse(session, words, &meta, &mode))
		return;
	out_line(session, error_line(-EFBIG), false);
	forget(session, &meta.token);
}

void meta_set(struct session *session, const struct words *words)
{
	struct kv_slot *slot = session->kv->slot;
	struct meta meta;
	uint32_t mode;
	long result;

	if (!set_parse(session, words, &meta, &mode))
		return;
	if (memcmp(words->value + words->value_bytes, "\r\n", 2) != 0) {
		out_line(session, "CLIENT_ERROR bad data chunk", false);
		return;
	}
	slot->options = mode | (meta.has['C'] ? KV_IF_CAS : 0) | (meta.has['I'] ? KV_STALE : 0);
	slot->flags = meta.flags;
	slot->expiry = meta.touch;
	slot->cas = meta.cas;
	memcpy(slot->value, words->value, words->value_bytes);
	result = call_key(session, KV_STORE, &meta.token, words->value_bytes);
	if (!result)
		result_line(session, words, 3, &meta, "HD", true);
	else if (result == -EEXIST && meta.has['C'] && mode != KV_ADD)
		result_line(session, words, 3, &meta, "EX", false);
	else if (result == -ENOENT && meta.has['C'] && mode < KV_APPEND)
		result_line(session, words, 3, &meta, "NF", false);
	else if (result == -EEXIST || result == -ENOENT)
		result_line(session, words, 3, &meta, "NS", false);
	else
		out_line(session, error_line(result), false);
}

void meta_delete(struct session *session, const struct words *words)
{
	struct kv_slot *slot = session->kv->slot;
	struct meta meta;
	long result;

	if (!meta_parse(session, words, 2, &meta, true))
		return;
	slot->options =
		(meta.has['C'] ? KV_IF_CAS : 0) | (meta.has['I'] ? KV_STALE : 0) | (meta.has['T'] ? KV_TOUCH : 0);
	slot->cas = meta.cas;
	slot->expiry = meta.touch;
	result = call_key(session, KV_DELETE, &meta.token, 0);
	if (!result)
		result_line(session, words, 2, &meta, "HD", true);
	else if (result == -EEXIST)
		result_line(session, words, 2, &meta, "EX", false);
	else if (result == -ENOENT)
		result_line(session, words, 2, &meta, "NF", false);
	else
		out_line(session, error_line(result), false);
}

void meta_count(struct session *session, const struct words *words)
{
	struct kv_slot *slot = session->kv->slot;
	struct meta meta;
	long result;

	if (!meta_parse(session, words, 2, &meta, true))
		return;
	if (meta.has['M'] && !strchr("I+D-", meta.mode)) {
		out_line(session, "CLIENT_ERROR invalid mode for ma M token", false);
		return;
	}
	slot->options = (meta.has['C'] ? KV_IF_CAS : 0) | (meta.has['T'] ? KV_TOUCH : 0) |
			(meta.has['N'] ? KV_CREATE : 0) | (meta.has['M'] && strchr("D-", meta.mode) ? KV_DOWN : 0);
	slot->cas = meta.cas;
	slot->number = meta.delta;
	slot->initial = meta.initial;
	slot->create = meta.order['T'] > meta.order['N'] ? meta.touch : meta.create;
	slot->expiry = meta.touch;
	slot->flags = 0;
	result = call_key(session, KV_COUNT, &meta.token, 64);
	if (result == -EDOM)
		out_line(session, "CLIENT_ERROR cannot increment or decrement non-numeric value", false);
	else if (result == -EEXIST)
		result_line(session, words, 2, &meta, "EX", false);
	else if (result == -ENOENT)
		result_line(session, words, 2, &meta, "NF", false);
	else if (result < 0)
		out_line(session, error_line(result), false);
	else if (!meta.value)
		result_line(session, words, 2, &meta, "HD", !(slot->item_state & KV_MADE));
	else if (!meta.quiet || slot->item_state & KV_MADE) {
		char number[24];
		int bytes = snprintf(number, sizeof(number), "%lu", slot->item_number);

		out_print(&session->out, "VA %d", bytes);
		answer(session, words, 2, &meta, true);
		out_print(&session->out, "\r\n%s\r\n", number);
	}
}

static void stat_line(struct session *session, const char *name, uint64_t value)
{
	out_print(&session->out, "STAT %s %lu\r\n", name, value);
}

void session_stats(struct session *session, const struct words *words)
{
	struct kv_stats stats;
	long error;

	if (words->count > 1) { /* of what is inside memcached */
		if (words->token[1].bytes == 5 && !memcmp(words->token[1].text, "reset", 5))
			out_line(session, "RESET", false);
		else
			out_line(session, "ERROR", false);
		return;
	}
	error = kv_client_stats(session->kv, &stats);
	if (error) {
		out_line(session, error_line(error), false);
		return;
	}
	stat_line(session, "pid", (uint64_t)getpid());
	stat_line(session, "uptime", (uint64_t)time(NULL) - server_stats.start_s);
	stat_line(session, "time", stats.unix_seconds);
	out_print(&session->out, "STAT version " SESSION_VERSION "\r\n");
	stat_line(session, "pointer_size", 64);
	stat_line(session, "curr_connections", __atomic_load_n(&server_stats.connections, __ATOMIC_RELAXED));
	stat_line(session, "total_connections", __atomic_load_n(&server_stats.total_connections, __ATOMIC_RELAXED));
	stat_line(session, "threads", server_stats.threads);
	stat_line(session, "cmd_get", stats.get_hits + stats.get_misses);
	stat_line(session, "cmd_set", stats.stores);
	stat_line(session, "cmd_flush", stats.flushes);
	stat_line(session, "cmd_touch", stats.touch_hits + stats.touch_misses);
	stat_line(session, "get_hits", stats.get_hits);
	stat_line(session, "get_misses", stats.get_misses);
	stat_line(session, "delete_hits", stats.delete_hits);
	stat_line(session, "delete_misses", stats.delete_misses);
	stat_line(session, "incr_hits", stats.incr_hits);
	stat_line(session, "incr_misses", stats.incr_misses);
	stat_line(session, "decr_hits", stats.decr_hits);
	stat_line(session, "decr_misses", stats.decr_misses);
	stat_line(session, "cas_hits", stats.cas_hits);
	stat_line(session, "cas_misses", stats.cas_misses);
	stat_line(session, "cas_badval", stats.cas_badval);
	stat_line(session, "touch_hits", stats.touch_hits);
	stat_line(session, "touch_misses", stats.touch_misses);
	stat_line(session, "limit_maxbytes", stats.limit_bytes);
	stat_line(session, "bytes", stats.bytes);
	stat_line(session, "curr_items", stats.items);
	stat_line(session, "total_items", stats.total_items);
	stat_line(session, "evictions", stats.evictions);
	stat_line(session, "reclaimed", stats.reclaimed);
	stat_line(session, "repairs", stats.repairs);
	stat_line(session, "retried", stats.retried);
	out_line(session, "END", false);
}
