// SPDX-License-Identifier: MIT
/*
 * strike ACTION ARGUMENT...: on the host, does this each time that the emulator holds a CPU whose vCPU is inside, until
 * it is killed. See sweep.c. Does it once before, to see that it can, and says `ready`.
 *
 *	kick PID TID        a signal for the vCPU's thread: KVM_RUN returns to the VMM, which runs it again
 *	roots               KVM builds all tables of all VMs anew
 *	manager COMMAND...  kills what that has started, and starts it again
 *	nothing             lets it go on
 *
 * random SEED TICKS EVENTS SECONDS [MODULE]: lets events come at random meanwhile, before any instruction or those of
 * that module of the kernel, and says how many of each, and before how many different instructions.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"
#include "schedule.h"

#define TICKS 300000 /* 3 ms */
#define POLL_US 100
#define ROOTS "/sys/module/kvm/parameters/nx_huge_pages"

static char **words;
static pid_t manager;

static void kick(void)
{
	if (syscall(SYS_tgkill, number(words[0]), number(words[1]), SIGUSR1))
		die("tgkill: %s", strerror(errno));
}

/* Whether huge pages may be executed: KVM gives up what it has mapped when that changes. */
static void roots(void)
{
	static const char *const values[] = { "off", "force" };
	static unsigned int turn;
	const char *value = values[turn++ % 2];
	int file = open(ROOTS, O_WRONLY);

	if (file < 0 || write(file, value, strlen(value)) < 0)
		die("%s: %s", ROOTS, strerror(errno));
	close(file);
}

static void start_manager(void)
{
	static int output = -1; /* it may write, until the next one starts */
	int ends[2];
	char said;

	close(output);
	if (pipe(ends))
		die("pipe: %s", strerror(errno));
	manager = fork();
	if (!manager) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		execvp(words[0], words);
		_exit(127);
	}
	close(ends[1]);
	if (manager < 0 || read(ends[0], &said, 1) != 1)
		die("%s has not started", words[0]);
	output = ends[0];
}

/* Until all that it had is withdrawn, which may take the CPU that is held: it is let go on in time. */
static void kill_manager(void)
{
	kill(manager, SIGKILL);
	while (waitpid(manager, NULL, 0) < 0 && errno == EINTR)
		;
}

static void nothing(void)
{
}

static const struct {
	const char *name;
	int words;
	void (*begin)(void), (*act)(void), (*after)(void);
} actions[] = {
	{ "kick", 2, kick, kick, nothing },
	{ "roots", 0, roots, roots, nothing },
	{ "manager", 1, start_manager, kill_manager, start_manager },
	{ "nothing", 0, nothing, nothing, nothing },
};

static void aim_at(const char *module)
{
	FILE *modules = fopen("/proc/modules", "r");
	unsigned long begin, bytes;
	char name[64];

	if (!modules)
		die("/proc/modules: %s", strerror(errno));
	while (fscanf(modules, "%63s %lu %*s %*s %*s %lx%*[^\n]", name, &bytes, &begin) == 3)
		if (!strcmp(name, module)) {
			schedule_aim(begin, begin + bytes);
			fclose(modules);
			return;
		}
	die("no module %s", module);
}

static int at_random(int count, char **arguments)
{
	if (count != 6 && count != 7)
		die("strike random SEED TICKS EVENTS SECONDS [MODULE]");
	schedule_aim(0, 0);
	if (count == 7)
		aim_at(arguments[6]);
	if (!schedule_random(number(arguments[2]), number(arguments[3]), number(arguments[4])))
		die("this machine has no schedules");
	usleep(number(arguments[5]) * 1000000);
	printf("interrupts %lu nmis %lu pauses %lu places %lu\n", schedule_random_end(SCHEDULE_INTERRUPT),
	       schedule_random_end(SCHEDULE_NMI), schedule_random_end(SCHEDULE_HOLD), schedule_places());
	return 0;
}

int main(int count, char **arguments)
{
	unsigned int i = 0;

	if (count > 1 && !strcmp(arguments[1], "random"))
		return at_random(count, arguments);
	while (i < sizeof(actions) / sizeof(actions[0]) && count > 1 && strcmp(arguments[1], actions[i].name))
		i++;
	if (count < 2 || i == sizeof(actions) / sizeof(actions[0]) || count - 2 < actions[i].words)
		die("strike ACTION ARGUMENT...");
	words = arguments + 2;
	actions[i].begin();
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (!schedule_is_held()) {
			usleep(POLL_US);
			continue;
		}
		schedule_begin(TICKS);
		actions[i].act();
		schedule_done();
		actions[i].after();
	}
}
