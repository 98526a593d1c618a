// SPDX-License-Identifier: MIT
/*
 * A writer that is killed at any instruction. A child is traced through one call that stores; after each of its
 * instructions the cache is copied as it is, the copy loses the writer as the host would have it (its locks are dead),
 * and must have all that others had stored, and what the writer was about either as before or as after; first for a
 * reader that takes no lock, then for all, and the repair itself is killed likewise, at some of its instructions.
 */
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "world.h"

#define BYTES (512u << 10)
#define PAGE_SHIFT 6
#define WRITER 0u
#define OTHER 1u
#define THIRD 2u /* as the writer's own memory is still in use */
#define KEYS 48
#define KEY_MAX 40

/* Values that a key may have: NULL is none. */
struct value {
	char *text;
	uint32_t bytes;
};

struct scene {
	const char *name;
	void (*before)(void);
	long (*call)(void);
	bool evicts; /* others may lose items, but never find wrong ones */
};

static char keys[KEYS][KEY_MAX], values[KEYS][1024];
static struct kv_state *scratch, *repaired;

static void *map(void)
{
	void *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		abort();
	return at;
}

/* Keys of others, of all lengths. */
static void fill(void)
{
	world_reset(BYTES, PAGE_SHIFT);
	for (uint32_t i = 0; i < KEYS; i++) {
		snprintf(keys[i], KEY_MAX, "other-%u-%.*s", i, (int)(i % 24), "abcdefghijklmnopqrstuvwxyz");
		memset(values[i], 'a' + (int)(i % 26), sizeof(values[i]) - 1);
		values[i][i * 17 % 700] = 0;
		if (set(OTHER, SHARED, keys[i], values[i]))
			abort();
	}
}

static void with_item(void)
{
	fill();
	set(WRITER, SHARED, "mine", "old value");
}

/* Behind others in its chain: a store has two steps. */
static void with_item_behind(void)
{
	static char key[16];

	with_item();
	for (uint32_t i = 0; i < 4000; i++) {
		struct kv_key a, b;

		snprintf(key, sizeof(key), "front-%u", i);
		slot_of(WRITER, key);
		key_load(&a, state, clients[WRITER].slot->key, SHARED, (uint32_t)strlen(key));
		slot_of(WRITER, "mine");
		key_load(&b, state, clients[WRITER].slot->key, SHARED, 4);
		if (bucket_of(state, a.hash) == bucket_of(state, b.hash)) {
			set(OTHER, SHARED, key, "in front");
			return;
		}
	}
	abort();
}

static void with_number(void)
{
	fill();
	set(WRITER, SHARED, "mine", "99");
}

/* No room is left anywhere. */
static void full(void)
{
	char key[32];

	with_item();
	for (uint32_t i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "fill-%u", i);
		store(OTHER, KV_OWN, key, KV_SET, values[1], 300);
	}
	for (uint32_t i = 0; i < KEYS; i++)
		set(OTHER, SHARED, keys[i], values[i]);
	set(WRITER, SHARED, "mine", "old value");
}

static long call_set(void)
{
	return kv_store(&clients[WRITER].info, KV_WHERE(BUFFER, 0), KV_WHICH(SHARED, 4),
			clients[WRITER].slot->reserved);
}

static long call_delete(void)
{
	return kv_delete(&clients[WRITER].info, KV_WHERE(BUFFER, 0), KV_WHICH(SHARED, 4));
}

static long call_count(void)
{
	return kv_count(&clients[WRITER].info, KV_WHERE(BUFFER, 0), KV_WHICH(SHARED, 4), 24);
}

static long call_fetch(void)
{
	return kv_fetch(&clients[WRITER].info, KV_WHERE(BUFFER, 0), KV_WHICH(SHARED, 4), 24);
}

static void ask(uint32_t options, const char *value, uint32_t bytes)
{
	struct kv_slot *slot = slot_of(WRITER, "mine");

	slot->options = options;
	slot->number = 1;
	slot->expiry = 100;
	slot->reserved = bytes; /* for call_set() */
	memcpy(slot->value, value, bytes);
}

/* The cache that the calls of all see. */
static void use(struct kv_state *of)
{
	state = of;
	for (uint32_t n = 0; n < CLIENTS; n++)
		clients[n].info.memory.address = (uintptr_t)of;
}

/* What the host does as soon as somebody waits for a lock. */
static uint32_t bury(struct kv_state *of)
{
	uint32_t dead = 0;

	for (uint32_t i = 0; i < of->stripes; i++) {
		struct elisa_lock *lock = &stripe_at(of, i)->lock;

		if (lock->word == (uint64_t)clients[WRITER].info.attachment + 1) {
			lock->word = ELISA_LOCK_DEAD;
			dead++;
		}
	}
	return dead;
}

static bool is(const struct value *value)
{
	return value->text ? has(OTHER, SHARED, "mine", value->text, value->bytes)
			   : get(OTHER, SHARED, "mine") == -ENOENT;
}

static const char *look(const struct scene *scene, const struct value *before, const struct value *after)
{
	for (uint32_t i = 0; i < KEYS; i++) {
		bool there = has(OTHER, SHARED, keys[i], values[i], (uint32_t)strlen(values[i]));

		if (!there && !(scene->evicts && get(OTHER, SHARED, keys[i]) == -ENOENT))
			return keys[i];
	}
	if (!is(before) && !is(after) && !(scene->evicts && get(OTHER, SHARED, "mine") == -ENOENT))
		return "what the writer was about";
	return NULL;
}

/* NULL, or what is lost in this copy whose writer is dead. Without a lock, then with the repair; then all works. */
static const char *examine(const struct scene *scene, const struct value *before, const struct value *after)
{
	const char *wrong;

	for (uint32_t n = 0; n < CLIENTS; n++)
		clients[n].info.writable = 0;
	wrong = look(scene, before, after);
	for (uint32_t n = 0; n < CLIENTS; n++)
		clients[n].info.writable = 1;
	if (wrong)
		return wrong;
	bury(state);
	/* Each stripe is taken by somebody, who repairs it. */
	for (uint32_t i = 0; i < state->stripes; i++) {
		struct kv_call call = { .info = &clients[OTHER].info, .state = state };

		stripe_lock(&call, stripe_at(state, i));
		elisa_unlock(&stripe_at(state, i)->lock, call.info);
	}
	wrong = world_check(state);
	if (!wrong)
		wrong = look(scene, before, after);
	if (wrong)
		return wrong;
	if (set(OTHER, SHARED, "mine", "new") || !has(THIRD, SHARED, "mine", "new", 3) ||
	    erase(THIRD, SHARED, "mine") || get(OTHER, SHARED, "mine") != -ENOENT)
		return "it does not work any more";
	return world_check(state);
}

static void mark(void)
{
	asm volatile("int3" : : : "memory");
}

static _Noreturn void child(long (*call)(void))
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(77);
	mark();
	call();
	mark();
	_exit(0);
}

static bool stopped(pid_t pid, int *status)
{
	return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGTRAP;
}

/*
 * Traces a call in a child: after each EVERY-th instruction, EACH(argument) is called; if it returns something, that is
 * the end, and the answer.
 */
static const char *trace(long (*call)(void), uint32_t every, const char *(*each)(void *), void *argument, long *steps)
{
	pid_t pid = fork();
	const char *wrong = NULL;
	int status = 0, marks = 0;

	*steps = 0;
	if (!pid)
		child(call);
	while (!wrong && stopped(pid, &status)) {
		siginfo_t what;

		ptrace(PTRACE_GETSIGINFO, pid, NULL, &what);
		marks += what.si_code == SI_KERNEL;
		if (marks == 1 && (*steps)++ % every == 0)
			wrong = each(argument);
		if (ptrace(marks == 1 ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, NULL, NULL))
			break;
	}
	if (wrong || marks != 2) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		puts("skipped: processes may not be traced here");
		exit(77);
	}
	return wrong ? wrong : marks == 2 ? NULL : "the call did not end";
}

struct examination {
	const struct scene *scene;
	struct value before, after;
	struct kv_state *original;
	uint32_t repairs; /* how often one was killed in turn */
	uint32_t every;
	long step, repair_steps;
};

static const char *examine_copy(void *argument)
{
	struct examination *this = argument;
	struct kv_state *from = state;
	const char *wrong;

	memcpy(repaired, from, BYTES);
	use(repaired);
	wrong = examine(this->scene, &this->before, &this->after);
	use(from);
	this->repair_steps++;
	return wrong;
}

static struct kv_stripe *dead_stripe;

static long call_repair(void)
{
	struct kv_call call = { .info = &clients[WRITER].info, .state = state };

	stripe_lock(&call, dead_stripe);
	elisa_unlock(&dead_stripe->lock, call.info);
	return 0;
}

/* At a writer's instruction: it is dead in a copy; now and then so is the one that repairs the copy. */
static const char *examine_step(void *argument)
{
	struct examination *this = argument;
	const char *wrong;
	long unused;

	memcpy(scratch, this->original, BYTES);
	use(scratch);
	wrong = examine(this->scene, &this->before, &this->after);
	if (!wrong && this->step++ % this->every == 0) {
		memcpy(scratch, this->original, BYTES);
		dead_stripe = NULL;
		if (bury(scratch)) {
			for (uint32_t i = 0; i < scratch->stripes && !dead_stripe; i++) {
				if (stripe_at(scratch, i)->lock.word == ELISA_LOCK_DEAD)
					dead_stripe = stripe_at(scratch, i);
			}
			this->repairs++;
			wrong = trace(call_repair, 61, examine_copy, this, &unused);
		}
	}
	use(this->original);
	return wrong;
}

static struct value value_now(void)
{
	long bytes = get(OTHER, SHARED, "mine");
	struct value value = { NULL, 0 };

	if (bytes >= 0) {
		value.text = malloc((size_t)bytes + 1);
		value.bytes = (uint32_t)bytes;
		memcpy(value.text, clients[OTHER].slot->value, (size_t)bytes);
	}
	return value;
}

/* After each STRIDE-th instruction, and there after each EVERY-th a repair. */
static bool run(const struct scene *scene, uint32_t options, const char *value, uint32_t bytes, uint32_t stride,
		uint32_t every)
{
	struct examination this = { .scene = scene, .every = every };
	struct kv_state *original;
	const char *wrong;
	long steps;

	scene->before();
	original = this.original = state;
	this.before = value_now();
	/* What comes of it: in a copy. */
	memcpy(scratch, original, BYTES);
	use(scratch);
	ask(options, value, bytes);
	if (scene->call() < 0)
		abort();
	this.after = value_now();
	use(original);
	ask(options, value, bytes);
	wrong = trace(scene->call, stride, examine_step, &this, &steps);
	printf("%-34s %5ld instructions, killed at %ld, and %u repairs at %ld of theirs%s%s\n", scene->name, steps,
	       this.step, this.repairs, this.repair_steps, wrong ? ": LOST: " : "", wrong ? wrong : "");
	free(this.before.text);
	free(this.after.text);
	return !wrong && steps > 100 && this.repairs;
}

int main(void)
{
	static const struct scene add = { "a new item", fill, call_set, false };
	static const struct scene replace = { "an item replaced", with_item, call_set, false };
	static const struct scene behind = { "one behind others replaced", with_item_behind, call_set, false };
	static const struct scene append = { "one appended to", with_item, call_set, false };
	static const struct scene erased = { "one deleted", with_item, call_delete, false };
	static const struct scene deep = { "one behind others deleted", with_item_behind, call_delete, false };
	static const struct scene stale = { "one marked as stale", with_item, call_delete, false };
	static const struct scene counted = { "one counted up", with_number, call_count, false };
	static const struct scene touched = { "one touched", with_item, call_fetch, false };
	static const struct scene evicting = { "a store that evicts", full, call_set, true };
	static const struct scene stealing = { "a large store that takes pages", full, call_set, true };
	static char large[20000];
	bool good = true;

	memset(large, 'L', sizeof(large));
	scratch = map();
	repaired = map();
	good &= run(&add, KV_SET, "a value", 7, 1, 293);
	good &= run(&replace, KV_SET, large, 500, 1, 293);
	good &= run(&behind, KV_SET, "another value", 13, 1, 293);
	good &= run(&append, KV_APPEND, "-and more", 9, 1, 293);
	good &= run(&erased, 0, "", 0, 1, 97);
	good &= run(&deep, 0, "", 0, 1, 97);
	good &= run(&stale, KV_STALE, "", 0, 1, 97);
	good &= run(&counted, 0, "", 0, 1, 293);
	good &= run(&touched, KV_TOUCH, "", 0, 1, 97);
	good &= run(&evicting, KV_SET, large, 900, 3, 331);
	good &= run(&stealing, KV_SET, large, 9000, 11, 997);
	return !good;
}
