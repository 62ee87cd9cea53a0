/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What lies under a name changes with what is mounted there. */
#include "evade.h"

#include <sys/mount.h>

/* Of newer headers. */
#define TREE_CLONE 1
#define FROM_EMPTY_PATH 4

static void make_dir(void)
{
	need(mkdir("dir", 0755), "mkdir");
	copy_text("file", "dir/file");
}

static void mount_memory(const char *where)
{
	need(mount("fimk-test", where, "tmpfs", 0, NULL), "mount");
}

static void cover_file(void)
{
	make(beside("other"), AFTER);
	need(mount(beside("other"), "file", NULL, MS_BIND, NULL), "mount");
}

static void cover_directory(void)
{
	mount_memory("dir");
}

static void bind_over_directory(void)
{
	need(mkdir(beside("other"), 0755), "mkdir");
	make(beside("other/file"), AFTER);
	need(mount(beside("other"), "dir", NULL, MS_BIND, NULL), "mount");
}

static void attach_tree(void)
{
	int tree;

	need(mkdir(beside("other"), 0755), "mkdir");
	make(beside("other/file"), AFTER);
	tree = need(syscall(428, AT_FDCWD, beside("other"), TREE_CLONE), "open_tree");
	need(syscall(429, tree, "", AT_FDCWD, "dir", FROM_EMPTY_PATH), "move_mount");
}

static void attach_new(void)
{
	int context = need(syscall(430, "tmpfs", 0), "fsopen"), mounted;

	need(syscall(431, context, 6, NULL, NULL, 0), "fsconfig");
	mounted = need(syscall(432, context, 0, 0), "fsmount");
	need(syscall(429, mounted, "", AT_FDCWD, "dir", FROM_EMPTY_PATH), "move_mount");
}

static void cover_earlier(void)
{
	make_dir();
	mount_memory("dir");
}

static void uncover(void)
{
	need(umount2("dir", 0), "umount");
}

static void uncover_lazily(void)
{
	need(umount2("dir", MNT_DETACH), "umount");
}

/* A private mount, in which others can be moved. */
static void mount_aside(void)
{
	make_dir();
	need(mkdir("private", 0755), "mkdir");
	mount_memory("private");
	need(mount(NULL, "private", NULL, MS_PRIVATE, NULL), "mount");
	need(mkdir("private/from", 0755), "mkdir");
	need(mkdir("private/to", 0755), "mkdir");
	make("private/to/file", BEFORE);
	mount_memory("private/from");
}

static void move_over(void)
{
	need(mount("private/from", "private/to", NULL, MS_MOVE, NULL), "mount");
}

const struct technique mount_techniques[] = {
	{ "cover-file", NULL, cover_file },
	{ "cover-directory", make_dir, cover_directory },
	{ "cover-bind", make_dir, bind_over_directory },
	{ "cover-tree", make_dir, attach_tree },
	{ "cover-new", make_dir, attach_new },
	{ "uncover", cover_earlier, uncover },
	{ "uncover-lazily", cover_earlier, uncover_lazily },
	{ "mount-moved", mount_aside, move_over },
	{ 0 },
};
