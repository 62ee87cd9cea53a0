/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * evade TECHNIQUE WATCHED OUT
 *
 * Prepares, prints `ready`, waits for a line, acts, prints `done PID HOLDER`, and ends when its standard input does. Instead it may
 * print `cannot WHY` (not possible here) or `broken WHY` (not as the technique was meant).
 */
#include "evade.h"

/* Far more than any technique takes on an emulated machine. */
#define SECONDS_MAX 120

const char *watched, *out;
pid_t actor, holder;

static const char *join(const char *directory, const char *name)
{
	static char names[4][2 * BLOCK];
	static unsigned int next;
	char *joined = names[next++ % 4];

	snprintf(joined, sizeof(names[0]), "%s/%s", directory, name);
	return joined;
}

const char *beside(const char *name)
{
	return join(out, name);
}

const char *within(const char *name)
{
	return join(watched, name);
}

_Noreturn void cannot(const char *why)
{
	printf("cannot %s\n", why);
	fflush(stdout);
	_exit(0);
}

/* What kernels and file systems answer to what they do not offer. */
static int lacking(int error)
{
	const int errors[] = { ENOSYS, EOPNOTSUPP, ENOTTY, EXDEV, ENODEV, EPERM, ENXIO, EPROTONOSUPPORT };
	unsigned int i;

	for (i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (errors[i] == error)
			return 1;
	return 0;
}

long need(long result, const char *what)
{
	int error = errno;

	if (result >= 0)
		return result;
	printf("%s %s: %s\n", lacking(error) ? "cannot" : "broken", what, strerror(error));
	fflush(stdout);
	_exit(1);
}

int open_file(int flags)
{
	return need(open("file", flags), "open");
}

void make(const char *path, const char *text)
{
	int fd = need(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), path);

	need(write(fd, text, strlen(text)), "write");
	need(close(fd), "close");
}

void overwrite(int fd)
{
	need(pwrite(fd, AFTER, LINE, 0), "pwrite");
}

void overwrite_path(const char *path)
{
	int fd = need(open(path, O_WRONLY), path);

	overwrite(fd);
	need(close(fd), "close");
}

void copy_text(const char *from, const char *to)
{
	char text[4 * BLOCK];
	int in = need(open(from, O_RDONLY), from);
	int into = need(open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644), to);
	ssize_t length = need(read(in, text, sizeof(text)), "read");

	need(write(into, text, length), "write");
	close(in);
	close(into);
}

void in_child(void (*act)(void))
{
	pid_t child = need(fork(), "fork");
	int status;

	if (!child) {
		act();
		_exit(42);
	}
	need(waitpid(child, &status, 0), "waitpid");
	/* It has said why. */
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
		_exit(1);
	actor = child;
}

static const struct technique *find(const char *name)
{
	const struct technique *const tables[] = {
		content_techniques, mapping_techniques, ring_techniques, way_techniques, name_techniques,
		attribute_techniques, mount_techniques, overlay_techniques, device_techniques, silent_techniques,
	};
	unsigned int i;

	for (i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		const struct technique *it;

		for (it = tables[i]; it->name; it++)
			if (!strcmp(it->name, name))
				return it;
	}
	return NULL;
}

static void await_line(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
		;
}

int main(int argc, char **argv)
{
	const struct technique *technique = argc == 4 ? find(argv[1]) : NULL;

	if (!technique) {
		fprintf(stderr, "usage: evade TECHNIQUE WATCHED OUT\n");
		return 64;
	}
	watched = argv[2];
	out = argv[3];
	actor = getpid();
	umask(022);
	need(chdir(watched), watched);
	/* Whoever waits for a word of ours is not to wait for ever. */
	alarm(SECONDS_MAX);
	if (technique->prepare)
		technique->prepare();
	alarm(0);
	printf("ready\n");
	fflush(stdout);
	await_line();
	alarm(SECONDS_MAX);
	technique->act();
	alarm(0);
	printf("done %d %d\n", actor, holder);
	fflush(stdout);
	await_line();
	if (technique->finish)
		technique->finish();
	return 0;
}
