/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One function for each way to change something. It runs in a directory of its own that fimk watches,
 * beside another of its own, `out`, on the same file system, that it does not watch.
 */
#ifndef EVADE_H
#define EVADE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* The first line of the watched file, which has three blocks of lines, and what is put in its place. */
#define BEFORE "before\n"
#define AFTER "after!\n"
#define LINE (sizeof(AFTER) - 1)
#define BLOCK 4096

struct technique {
	const char *name;
	void (*prepare)(void); /* what has to be there before; may be missing */
	void (*act)(void);
	void (*finish)(void); /* what has to be undone; may be missing */
};

extern const struct technique content_techniques[], mapping_techniques[], ring_techniques[], way_techniques[],
	name_techniques[], attribute_techniques[], mount_techniques[], overlay_techniques[], device_techniques[],
	silent_techniques[];

/* The two directories, absolute; the first is the working directory. */
extern const char *watched, *out;
/* Who acts, when that is not this process. */
extern pid_t actor;
/* Who holds what the actor writes to, when that is another. */
extern pid_t holder;

/* A name in `out`; the last four answers stay valid. */
const char *beside(const char *name);
/* A name in the watched directory, absolute; likewise. */
const char *within(const char *name);
/* The result, if it is not negative. Else the case cannot be run here, where the kernel or the file system lacks it, or
 * is broken. Either ends the process. */
long need(long result, const char *what);
/* The case cannot be run here. */
_Noreturn void cannot(const char *why);

/* The watched file, opened. */
int open_file(int flags);
/* A file with this text; it may be there already. */
void make(const char *path, const char *text);
/* Writes the new first line at the start. */
void overwrite(int fd);
/* Opens a path, writes the new first line, closes it. */
void overwrite_path(const char *path);
/* Runs this in a child, which is then the one who acts. */
void in_child(void (*act)(void));
/* One file's text into another. */
void copy_text(const char *from, const char *to);

#endif
