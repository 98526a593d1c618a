// SPDX-License-Identifier: MIT
/*
 * The text commands, answered as memcached 1.6 does. A command runs when it is there whole, with its value; then it is
 * one call, but for a get of many keys.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "session.h"

#define BAD_FORMAT "CLIENT_ERROR bad command line format"

struct command {
	const char *name;
	void (*run)(struct session *session, const struct words *words);
	unsigned int least; /* words, with the name */
	unsigned int value; /* the word that says how long the value is that follows; 0: none does */
};

void out_bytes(struct buffer *out, const void *data, size_t bytes)
{
	if (out->room - out->bytes < bytes) {
		size_t room = (out->bytes + bytes) * 3 / 2 + 4096;
		char *grown = realloc(out->data, room);

		if (!grown) {
			out->failed = true;
			return;
		}
		out->data = grown;
		out->room = room;
	}
	memcpy(out->data + out->bytes, data, bytes);
	out->bytes += bytes;
}

void out_print(struct buffer *out, const char *format, ...)
{
	char text[512];
	va_list list;
	int bytes;

	va_start(list, format);
	bytes = vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	out_bytes(out, text, bytes < (int)sizeof(text) ? (size_t)bytes : sizeof(text) - 1);
}

void out_line(struct session *session, const char *line, bool noreply)
{
	if (noreply)
		return;
	out_bytes(&session->out, line, strlen(line));
	out_bytes(&session->out, "\r\n", 2);
}

/* Nothing more is to be made until what there is has been sent; it cannot be if memory has run out. */
static bool output_full(const struct session *session)
{
	return session->out.bytes >= OUTPUT_PAUSE || session->out.failed;
}

/* --- words */

bool parse_u64(const struct token *token, uint64_t *number)
{
	char text[32], *end;

	if (!token->bytes || token->bytes >= sizeof(text))
		return false;
	memcpy(text, token->text, token->bytes);
	text[token->bytes] = 0;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return !errno && !*end && end != text && text[0] != '-';
}

bool parse_i64(const struct token *token, int64_t *number)
{
	char text[32], *end;

	if (!token->bytes || token->bytes >= sizeof(text))
		return false;
	memcpy(text, token->text, token->bytes);
	text[token->bytes] = 0;
	errno = 0;
	*number = strtoll(text, &end, 10);
	return !errno && !*end && end != text;
}

bool parse_u32(const struct token *token, uint32_t *number)
{
	uint64_t wide;

	if (!parse_u64(token, &wide) || wide > UINT32_MAX)
		return false;
	*number = (uint32_t)wide;
	return true;
}

bool key_ok(const struct token *token)
{
	return token->bytes && token->bytes <= KV_KEY_MAX;
}

static bool token_is(const struct token *token, const char *text)
{
	return token->bytes == strlen(text) && !memcmp(token->text, text, token->bytes);
}

/* As memcached: it is the last word, wherever that is. */
static bool noreply_of(const struct words *words)
{
	return words->count > 1 && words->count < TOKENS_MAX && token_is(&words->token[words->count - 1], "noreply");
}

/* The word from *AT on, and *AT behind it; false: there is none. */
static bool next_token(const char **at, const char *end, struct token *token)
{
	const char *begin = *at;

	while (begin < end && *begin == ' ')
		begin++;
	for (*at = begin; *at < end && **at != ' ';)
		++*at;
	*token = (struct token){ begin, (size_t)(*at - begin) };
	return token->bytes;
}

static void split(struct words *words, const char *at, const char *end)
{
	words->count = 0;
	while (words->count < TOKENS_MAX && next_token(&at, end, &words->token[words->count]))
		words->count++;
	words->rest = at;
	words->end = end;
}

/* --- calls */

long call_key(const struct session *session, enum kv_function function, const struct token *key, uint64_t bytes)
{
	return kv_call_key(session->kv, function, kv_key(session->kv, session->space, key->text, key->bytes), bytes);
}

const char *error_line(long error)
{
	switch (error) {
	case -EFBIG:
		return "SERVER_ERROR object too large for cache";
	case -ENOMEM:
		return "SERVER_ERROR out of memory storing object";
	case -EACCES:
		return "SERVER_ERROR this name space is read-only here";
	case -ESHUTDOWN:
	case -ENOTCONN:
		return "SERVER_ERROR the cache is gone";
	default:
		return "SERVER_ERROR the call was ended";
	}
}

/* --- reading */

struct get {
	bool cas, touch;
	int64_t expiry;
};

/* Looks a key up; it is answered if it is WANTED. */
static void get_one(struct session *session, const struct token *key, const struct get *get, bool wanted)
{
	struct kv_slot *slot = session->kv->slot;
	long bytes;

	if (get->touch) {
		slot->options = KV_TOUCH;
		slot->expiry = get->expiry;
	}
	bytes = call_key(session, get->touch ? KV_FETCH : KV_GET, key, wanted ? session->kv->room : 0);
	if (bytes < 0 || !wanted)
		return;
	out_bytes(&session->out, "VALUE ", 6);
	out_bytes(&session->out, key->text, key->bytes);
	if (get->cas)
		out_print(&session->out, " %u %ld %lu\r\n", slot->item_flags, bytes, slot->item_cas);
	else
		out_print(&session->out, " %u %ld\r\n", slot->item_flags, bytes);
	out_bytes(&session->out, slot->value, (size_t)bytes);
	out_bytes(&session->out, "\r\n", 2);
}

static bool keys_ok(const char *at, const char *end)
{
	struct token key;

	while (next_token(&at, end, &key)) {
		if (!key_ok(&key))
			return false;
	}
	return true;
}

/*
 * Keys from a word on, as many as there are, in pieces: answers that are so many are sent before more are made. If one
 * is too long, nothing of all is answered but that; those before it are looked up nevertheless, as by memcached.
 */
static void get_keys(struct session *session, const struct words *words, unsigned int first, const struct get *get)
{
	const struct token *before = &words->token[first - 1];
	const char *line = words->token[0].text,
		   *at = session->got ? line + session->got : before->text + before->bytes;
	bool good = session->got || keys_ok(at, words->end);
	struct token key;

	session->got = 0;
	while (next_token(&at, words->end, &key) && key_ok(&key)) {
		get_one(session, &key, get, good);
		if (output_full(session)) {
			session->got = (size_t)(at - line);
			return;
		}
	}
	out_line(session, good ? "END" : BAD_FORMAT, false);
}

static void run_get(struct session *session, const struct words *words)
{
	struct get get = { .cas = words->token[0].bytes == 4 };

	get_keys(session, words, 1, &get);
}

static void run_gat(struct session *session, const struct words *words)
{
	struct get get = { .cas = words->token[0].bytes == 4, .touch = true };

	if (!parse_i64(&words->token[1], &get.expiry))
		out_line(session, "CLIENT_ERROR invalid exptime argument", false);
	else
		get_keys(session, words, 2, &get);
}

/* --- storing */

void forget(struct session *session, const struct token *key)
{
	session->kv->slot->options = 0;
	call_key(session, KV_DELETE, key, 0);
}

static void run_store(struct session *session, const struct words *words)
{
	static const struct {
		const char *name;
		uint32_t options;
	} modes[] = { { "set", KV_SET },       { "add", KV_ADD },         { "replace", KV_REPLACE },
		      { "append", KV_APPEND }, { "prepend", KV_PREPEND }, { "cas", KV_SET | KV_IF_CAS } };
	struct kv_slot *slot = session->kv->slot;
	bool noreply = noreply_of(words);
	uint64_t cas = 0;
	size_t mode = 0;
	uint64_t flags = 0;
	int64_t expiry = 0;
	long result;

	while (!token_is(&words->token[0], modes[mode].name))
		mode++;
	parse_u64(&words->token[2], &flags);
	parse_i64(&words->token[3], &expiry);
	if (modes[mode].options & KV_IF_CAS)
		parse_u64(&words->token[5], &cas);
	if (memcmp(words->value + words->value_bytes, "\r\n", 2) != 0) {
		out_line(session, "CLIENT_ERROR bad data chunk", noreply);
		return;
	}
	slot->flags = (uint32_t)flags;
	slot->expiry = expiry;
	slot->cas = cas;
	slot->options = modes[mode].options;
	memcpy(slot->value, words->value, words->value_bytes);
	result = call_key(session, KV_STORE, &words->token[1], words->value_bytes);
	if (!result)
		out_line(session, "STORED", noreply);
	else if (result == -EEXIST && modes[mode].options & KV_IF_CAS)
		out_line(session, "EXISTS", noreply);
	else if (result == -ENOENT && modes[mode].options & KV_IF_CAS)
		out_line(session, "NOT_FOUND", noreply);
	else if (result == -EEXIST || result == -ENOENT)
		out_line(session, "NOT_STORED", noreply);
	else
		out_line(session, error_line(result), noreply);
}

/* What is said of a store command's line before its value comes; NULL: nothing is wrong. */
static const char *store_check(const struct words *words)
{
	bool cas = token_is(&words->token[0], "cas");
	uint64_t flags, unique;
	int64_t number;

	if (!key_ok(&words->token[1]) || !parse_u64(&words->token[2], &flags) || !parse_i64(&words->token[3], &number))
		return BAD_FORMAT;
	if (!parse_i64(&words->token[4], &number) || number < 0 || number > INT32_MAX - 2)
		return BAD_FORMAT;
	if (cas && !parse_u64(&words->token[5], &unique))
		return BAD_FORMAT;
	return NULL;
}

static void run_delete(struct session *session, const struct words *words)
{
	bool noreply = noreply_of(words);
	long result;

	if (words->count > 2 && !(token_is(&words->token[2], "0") && (words->count == 3 || noreply)) &&
	    !(words->count == 3 && noreply)) {
		out_line(session, BAD_FORMAT ".  Usage: delete <key> [noreply]", false);
		return;
	}
	if (!key_ok(&words->token[1])) {
		out_line(session, BAD_FORMAT, false);
		return;
	}
	session->kv->slot->options = 0;
	result = call_key(session, KV_DELETE, &words->token[1], 0);
	out_line(session, !result ? "DELETED" : result == -ENOENT ? "NOT_FOUND" : error_line(result), noreply);
}

static void run_count(struct session *session, const struct words *words)
{
	bool noreply = noreply_of(words);
	struct kv_slot *slot = session->kv->slot;
	uint64_t by;
	long result;

	if (!key_ok(&words->token[1])) {
		out_line(session, BAD_FORMAT, false);
		return;
	}
	if (!parse_u64(&words->token[2], &by)) {
		out_line(session, "CLIENT_ERROR invalid numeric delta argument", noreply);
		return;
	}
	slot->options = words->token[0].text[0] == 'd' ? KV_DOWN : 0;
	slot->number = by;
	result = call_key(session, KV_COUNT, &words->token[1], 64);
	if (result >= 0 && !noreply)
		out_print(&session->out, "%lu\r\n", slot->item_number);
	else if (result == -EDOM)
		out_line(session, "CLIENT_ERROR cannot increment or decrement non-numeric value", noreply);
	else if (result < 0)
		out_line(session, result == -ENOENT ? "NOT_FOUND" : error_line(result), noreply);
}

static void run_touch(struct session *session, const struct words *words)
{
	bool noreply = noreply_of(words);
	int64_t expiry;
	long result;

	if (!key_ok(&words->token[1])) {
		out_line(session, BAD_FORMAT, false);
		return;
	}
	if (!parse_i64(&words->token[2], &expiry)) {
		out_line(session, "CLIENT_ERROR invalid exptime argument", noreply);
		return;
	}
	session->kv->slot->options = KV_TOUCH | KV_NO_VALUE;
	session->kv->slot->expiry = expiry;
	result = call_key(session, KV_FETCH, &words->token[1], 0);
	out_line(session, result >= 0 ? "TOUCHED" : result == -ENOENT ? "NOT_FOUND" : error_line(result), noreply);
}

/* --- the rest */

static void run_flush(struct session *session, const struct words *words)
{
	bool noreply = noreply_of(words);
	int64_t delay = 0;
	long result;

	if (words->count > (noreply ? 2u : 1u) && !parse_i64(&words->token[1], &delay)) {
		out_line(session, "CLIENT_ERROR invalid exptime argument", false);
		return;
	}
	result = kv_client_flush(session->kv, session->space,
				 delay < 0           ? 0
				 : delay > INT32_MAX ? INT32_MAX
						     : (uint32_t)delay);
	out_line(session, result ? error_line(result) : "OK", noreply);
}

static void run_version(struct session *session, const struct words *words)
{
	(void)words;
	out_line(session, "VERSION " SESSION_VERSION, false);
}

/* There is nothing to say more of: it is accepted, as clients try it. */
static void run_verbosity(struct session *session, const struct words *words)
{
	bool noreply = noreply_of(words);
	uint32_t level;

	if (words->count > 3)
		out_line(session, "ERROR", false);
	else if (!(noreply && words->count == 2) && !parse_u32(&words->token[1], &level))
		out_line(session, BAD_FORMAT, false);
	else
		out_line(session, "OK", noreply);
}

static void run_quit(struct session *session, const struct words *words)
{
	(void)words;
	session->quit = true;
}

static void run_shutdown(struct session *session, const struct words *words)
{
	(void)words;
	out_line(session, "ERROR: shutdown not enabled", false);
}

static void run_meta_no(struct session *session, const struct words *words)
{
	(void)words;
	out_line(session, "MN", false);
}

static const struct command commands[] = {
	{ "get", run_get, 2, 0 },
	{ "gets", run_get, 2, 0 },
	{ "set", run_store, 5, 4 },
	{ "add", run_store, 5, 4 },
	{ "replace", run_store, 5, 4 },
	{ "append", run_store, 5, 4 },
	{ "prepend", run_store, 5, 4 },
	{ "cas", run_store, 6, 4 },
	{ "delete", run_delete, 2, 0 },
	{ "incr", run_count, 3, 0 },
	{ "decr", run_count, 3, 0 },
	{ "touch", run_touch, 3, 0 },
	{ "gat", run_gat, 2, 0 },
	{ "gats", run_gat, 2, 0 },
	{ "flush_all", run_flush, 1, 0 },
	{ "version", run_version, 1, 0 },
	{ "verbosity", run_verbosity, 2, 0 },
	{ "stats", session_stats, 1, 0 },
	{ "quit", run_quit, 1, 0 },
	{ "shutdown", run_shutdown, 1, 0 },
	{ "mn", run_meta_no, 1, 0 },
	{ "mg", meta_get, 2, 0 },
	{ "ms", meta_set, 3, 2 },
	{ "md", meta_delete, 2, 0 },
	{ "ma", meta_count, 2, 0 },
};

/* --- input */

static const struct command *find_command(const struct words *words)
{
	for (size_t i = 0; words->count && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (token_is(&words->token[0], commands[i].name))
			return words->count >= commands[i].least ? &commands[i] : NULL;
	}
	return NULL;
}

/* A line whose value follows: 1: it is there; 0: not yet; -1: it is not wanted. */
static int take_value(struct session *session, const struct command *command, struct words *words, const char *after,
		      const char *end)
{
	const struct token *token = &words->token[command->value];
	bool meta = command->run == meta_set;
	const char *wrong = meta ? NULL : store_check(words);
	int64_t bytes = -1;

	if (meta && (!key_ok(&words->token[1]) || !parse_i64(token, &bytes) || bytes < 0 || bytes > INT32_MAX - 2))
		wrong = BAD_FORMAT;
	if (wrong) {
		out_line(session, wrong, false);
		return -1;
	}
	parse_i64(token, &bytes);
	if (bytes > KV_VALUE_MAX) {
		if (meta)
			meta_set_large(session, words);
		else
			out_line(session, error_line(-EFBIG), noreply_of(words));
		if (token_is(&words->token[0], "set"))
			forget(session, &words->token[1]);
		session->swallow = (uint64_t)bytes + 2;
		return -1;
	}
	if (end - after < bytes + 2) {
		session->need = (uint64_t)bytes + 2;
		return 0;
	}
	words->value = after;
	words->value_bytes = (size_t)bytes;
	return 1;
}

/* One command: bytes that it took, 0: it is not there whole, or goes on when its answers have been sent. */
static size_t run_line(struct session *session, const char *input, size_t bytes)
{
	const char *newline = memchr(input, '\n', bytes), *end = newline, *after;
	const struct command *command;
	struct words words;
	int value;

	if (!newline) {
		size_t most = bytes > 4 && (!memcmp(input, "get ", 4) || !memcmp(input, "gets", 4)) ? GET_LINE_MAX
												    : LINE_MAX_BYTES;

		if (bytes > most)
			session->quit = true;
		return 0;
	}
	after = newline + 1;
	if (end > input && end[-1] == '\r')
		end--;
	split(&words, input, end);
	command = find_command(&words);
	if (!command) {
		bool meta_short = words.count && token_is(&words.token[0], "ms") && words.count == 2;

		out_line(session, meta_short ? BAD_FORMAT : "ERROR", false);
		return (size_t)(after - input);
	}
	if (!command->value) {
		command->run(session, &words);
		return session->got ? 0 : (size_t)(after - input);
	}
	value = take_value(session, command, &words, after, input + bytes);
	if (!value) {
		session->need += (uint64_t)(after - input);
		return 0;
	}
	if (value > 0) {
		command->run(session, &words);
		after += words.value_bytes + 2;
	}
	return (size_t)(after - input);
}

size_t session_run(struct session *session, const char *input, size_t bytes)
{
	size_t done = 0;

	session->need = 0;
	while (done < bytes && !session->quit && !output_full(session)) {
		size_t some = bytes - done;

		if (session->swallow) {
			if (some > session->swallow)
				some = (size_t)session->swallow;
			session->swallow -= some;
			done += some;
			continue;
		}
		some = run_line(session, input + done, some);
		if (!some)
			break;
		done += some;
	}
	session->paused = done < bytes && !session->quit && output_full(session);
	return done;
}
