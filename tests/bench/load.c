/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What scripts/bench lets happen and measures with. Times are CLOCK_REALTIME in nanoseconds.
 *
 *   load tree N DIRECTORY          N files of 100 to 7,000 bytes, 100 in a directory
 *   load create N DIRECTORY        N files, each with a line, 1,000 in a directory
 *   load write N DIRECTORY         a line more for each of them
 *   load delete N DIRECTORY        and away with them
 *   load touch N FILES DIRECTORY   N times open, write and close, over so many files
 *   load latency N DIRECTORY       a line more for one of 100 files every 10 ms; prints "TIME FILE MARK" at each return
 *   load stamp                     puts the time before each line that comes
 *   load fanotify DIRECTORY        a bare fanotify reader of a tree; prints "READY", counts until SIGTERM
 *
 * Those that make changes print the CPU seconds that it took them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PER_DIRECTORY = 1000, TREE_PER_DIRECTORY = 100, LATENCY_FILES = 100, EVERY_NS = 10000000 };

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void report_cpu(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	printf("%.3f\n", (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
				  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

static void directory(const char *path)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		fail(path);
}

static void put(const char *path, int flags, const void *bytes, size_t length)
{
	int file = open(path, flags | O_WRONLY | O_CLOEXEC, 0644);
	if (file < 0 || write(file, bytes, length) != (ssize_t)length)
		fail(path);
	close(file);
}

static void tree(int count, const char *top)
{
	static char bytes[7000];
	char path[4096];
	srandom(1);
	for (int i = 0; i < count; i++) {
		if (i % TREE_PER_DIRECTORY == 0) {
			snprintf(path, sizeof(path), "%s/%d", top, i / TREE_PER_DIRECTORY);
			directory(path);
		}
		for (size_t at = 0; at < sizeof(bytes); at += 64)
			bytes[at] = (char)random();
		snprintf(path, sizeof(path), "%s/%d/%d", top, i / TREE_PER_DIRECTORY, i);
		put(path, O_CREAT | O_TRUNC, bytes, 100 + (size_t)random() % 6900);
	}
}

static void each(const char *what, int count, const char *top)
{
	char path[4096], line[64];
	for (int i = 0; i < count; i++) {
		if (i % PER_DIRECTORY == 0) {
			snprintf(path, sizeof(path), "%s/%d", top, i / PER_DIRECTORY);
			directory(path);
		}
		snprintf(path, sizeof(path), "%s/%d/f%d", top, i / PER_DIRECTORY, i);
		size_t length = (size_t)snprintf(line, sizeof(line), "%s %d\n", what, i);
		if (!strcmp(what, "delete")) {
			if (unlink(path))
				fail(path);
		} else {
			put(path, !strcmp(what, "create") ? O_CREAT | O_EXCL : O_APPEND, line, length);
		}
	}
	report_cpu();
}

static void touch(int count, int files, const char *top)
{
	char path[4096];
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/t%d", top, i % files);
		put(path, O_CREAT, "0123456789\n", 11);
	}
	report_cpu();
}

static void latency(int count, const char *top)
{
	char path[4096], line[64];
	struct timespec next;
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (int i = 0; i < count; i++) {
		next.tv_nsec += EVERY_NS;
		next.tv_sec += next.tv_nsec / 1000000000;
		next.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
		snprintf(path, sizeof(path), "%s/l%d", top, i % LATENCY_FILES);
		size_t length = (size_t)snprintf(line, sizeof(line), "mark-%06d\n", i);
		int file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
		if (file < 0 || write(file, line, length) != (ssize_t)length)
			fail(path);
		long long returned = now();
		close(file);
		printf("%lld l%d mark-%06d\n", returned, i % LATENCY_FILES, i);
	}
}

static void stamp(void)
{
	char *line = NULL;
	size_t room = 0;
	while (getline(&line, &room, stdin) > 0) {
		printf("%lld %s", now(), line);
		fflush(stdout);
	}
}

static int group;

static int mark(const char *path, const struct stat *stat, int type, struct FTW *where)
{
	(void)stat, (void)where;
	unsigned long long mask = FAN_CREATE | FAN_DELETE | FAN_MOVE | FAN_MODIFY | FAN_CLOSE_WRITE | FAN_ATTRIB |
				  FAN_EVENT_ON_CHILD | FAN_ONDIR;
	if (type == FTW_D && fanotify_mark(group, FAN_MARK_ADD, mask, AT_FDCWD, path))
		fail(path);
	return 0;
}

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static void watch(const char *top)
{
	static char buffer[1 << 16];
	unsigned long events = 0;
	struct sigaction action = { .sa_handler = end };
	sigaction(SIGTERM, &action, NULL);
	group = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS,
			      O_RDONLY | O_CLOEXEC);
	if (group < 0)
		fail("fanotify_init");
	nftw(top, mark, 64, FTW_PHYS);
	puts("READY");
	fflush(stdout);
	while (!ended) {
		ssize_t length = read(group, buffer, sizeof(buffer));
		struct fanotify_event_metadata *event = (void *)buffer;
		for (; length > 0 && FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length))
			events++;
	}
	fprintf(stderr, "%lu events\n", events);
	report_cpu();
}

int main(int count, char **words)
{
	const char *what = count > 1 ? words[1] : "";
	if (!strcmp(what, "stamp"))
		stamp();
	else if (!strcmp(what, "fanotify") && count == 3)
		watch(words[2]);
	else if (!strcmp(what, "touch") && count == 5)
		touch(atoi(words[2]), atoi(words[3]), words[4]);
	else if (!strcmp(what, "tree") && count == 4)
		tree(atoi(words[2]), words[3]);
	else if (!strcmp(what, "latency") && count == 4)
		latency(atoi(words[2]), words[3]);
	else if (count == 4)
		each(what, atoi(words[2]), words[3]);
	else
		return 64;
	return 0;
}
