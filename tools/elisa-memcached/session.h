/* SPDX-License-Identifier: MIT */
/* One client's connection, without its socket: bytes come in, answers go out. */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../objects/kv/client.h"

#define LINE_MAX_BYTES 2048 /* of a command, but for gets of many keys */
#define GET_LINE_MAX 65536
#ifndef OUTPUT_PAUSE
#define OUTPUT_PAUSE (1 << 18) /* so much is to be sent: no more answers until it is */
#endif
#define TOKENS_MAX 24
#define SESSION_VERSION "1.6.18-elisa"

struct buffer {
	char *data;
	size_t bytes, room;
	bool failed; /* no memory: the connection ends */
};

struct session {
	const struct kv_client *kv;
	unsigned int space;
	struct buffer out;
	uint64_t swallow; /* bytes of a value that is not wanted */
	uint64_t need;    /* so many bytes are to be there before it goes on */
	size_t got;       /* of a get's line, whose other keys come when answers have been sent; 0: of none */
	bool paused;      /* it goes on when answers have been sent, without more input */
	bool quit;
};

/* Of the whole server. */
struct server_stats {
	uint64_t connections, total_connections, start_s;
	uint32_t threads;
};
extern struct server_stats server_stats;

struct token {
	const char *text;
	size_t bytes;
};

/* A command line with its value, if it has one. */
struct words {
	struct token token[TOKENS_MAX];
	unsigned int count; /* TOKENS_MAX: and perhaps more, from `rest` on */
	const char *rest, *end;
	const char *value; /* after the line; `value_bytes` and a line's end are there */
	size_t value_bytes;
};

/* How many bytes of the input are done with; call again when there are more, or when answers have been sent. */
size_t session_run(struct session *session, const char *input, size_t bytes);

void out_bytes(struct buffer *out, const void *data, size_t bytes);
__attribute__((format(printf, 2, 3))) void out_print(struct buffer *out, const char *format, ...);
void out_line(struct session *session, const char *line, bool noreply);

bool parse_u64(const struct token *token, uint64_t *number);
bool parse_i64(const struct token *token, int64_t *number);
bool parse_u32(const struct token *token, uint32_t *number);
bool key_ok(const struct token *token);

/* Calls; what was cut short by the machine, and changes nothing, is called again. */
long call_key(const struct session *session, enum kv_function function, const struct token *key, uint64_t bytes);

/* What could not be stored is not to be found as it was. */
void forget(struct session *session, const struct token *key);

/* What a failed call says; also for calls that were ended. */
const char *error_line(long error);

/* meta.c: mg, ms, md, ma, mn.  */
void meta_get(struct session *session, const struct words *words);
void meta_set(struct session *session, const struct words *words);
void meta_set_large(struct session *session, const struct words *words); /* whose value is too large */
void meta_delete(struct session *session, const struct words *words);
void meta_count(struct session *session, const struct words *words);
void session_stats(struct session *session, const struct words *words);

#endif
