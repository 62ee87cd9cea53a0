/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Names that come, go and change. */
#include "evade.h"

static void replace_from_outside(void)
{
	make(beside("new"), AFTER);
	need(rename(beside("new"), "file"), "rename");
}

static void replace_from_inside(void)
{
	make("new", AFTER);
	need(rename("new", "file"), "rename");
}

static void swap(const char *one, const char *two, unsigned int flags)
{
	if (renameat2(AT_FDCWD, one, AT_FDCWD, two, flags) < 0) {
		if (errno == EINVAL)
			cannot("renameat2: this file system does not know the flag");
		need(-1, "renameat2");
	}
}

static void exchange_with_outside(void)
{
	make(beside("new"), AFTER);
	swap(beside("new"), "file", RENAME_EXCHANGE);
}

static void make_other(void)
{
	make("other", AFTER);
}

static void exchange_inside(void)
{
	swap("other", "file", RENAME_EXCHANGE);
}

static void whiteout(void)
{
	swap("file", "moved", RENAME_WHITEOUT);
}

static void move_away(void)
{
	need(rename("file", beside("away")), "rename");
}

static void move_away_and_back(void)
{
	move_away();
	need(rename(beside("away"), "file"), "rename");
}

static void move_away_change_and_back(void)
{
	move_away();
	overwrite_path(beside("away"));
	need(rename(beside("away"), "file"), "rename");
}

static void make_tree(void)
{
	need(mkdir("above", 0755), "mkdir");
	need(mkdir("above/dir", 0755), "mkdir");
	copy_text("file", "above/dir/file");
}

static void rename_parent(void)
{
	need(rename("above/dir", "above/moved"), "rename");
	overwrite_path("above/moved/file");
}

static void rename_grandparent(void)
{
	need(rename("above", "moved"), "rename");
	overwrite_path("moved/dir/file");
}

static void rename_parent_and_back(void)
{
	need(rename("above/dir", beside("away")), "rename");
	overwrite_path(beside("away/file"));
	need(rename(beside("away"), "above/dir"), "rename");
}

static void replace_parent(void)
{
	need(mkdir(beside("dir"), 0755), "mkdir");
	make(beside("dir/file"), AFTER);
	swap(beside("dir"), "above/dir", RENAME_EXCHANGE);
}

static void move_tree_in(void)
{
	need(mkdir(beside("tree"), 0755), "mkdir");
	make(beside("tree/file"), AFTER);
	need(rename(beside("tree"), "tree"), "rename");
	need(unlink("tree/file"), "unlink");
	make("tree/later", AFTER);
}

static void make_link(void)
{
	need(mkdir("one", 0755), "mkdir");
	need(mkdir("two", 0755), "mkdir");
	copy_text("file", "one/file");
	make("two/file", AFTER);
	need(symlink("one", "link"), "symlink");
}

static void swap_link(void)
{
	need(symlink("two", "new"), "symlink");
	need(rename("new", "link"), "rename");
}

static void remove_and_make(void)
{
	need(unlink("file"), "unlink");
	make("file", AFTER);
}

static void remove_file(void)
{
	need(unlink("file"), "unlink");
}

static void keep_and_remove(void)
{
	int fd = open_file(O_RDWR);

	remove_file();
	overwrite(fd);
}

static void make_directory_and_file(void)
{
	need(mkdir("dir", 0755), "mkdir");
	make("dir/made", AFTER);
}

static void make_deep(void)
{
	need(mkdir("a", 0755), "mkdir");
	need(mkdir("a/b", 0755), "mkdir");
	need(mkdir("a/b/c", 0755), "mkdir");
	make("a/b/c/made", AFTER);
}

static void make_and_move_directory(void)
{
	need(mkdir("dir", 0755), "mkdir");
	need(rename("dir", "moved"), "rename");
	make("moved/made", AFTER);
}

static void make_and_remove(void)
{
	close(need(open("made", O_WRONLY | O_CREAT, 0644), "open"));
	need(unlink("made"), "unlink");
}

static void make_and_remove_in_new_directory(void)
{
	need(mkdir("dir", 0755), "mkdir");
	make("dir/made", AFTER);
	need(unlink("dir/made"), "unlink");
	need(rmdir("dir"), "rmdir");
}

static void tmpfile_and_link(void)
{
	char path[64];
	int fd = need(open(".", O_TMPFILE | O_WRONLY, 0644), "O_TMPFILE");

	overwrite(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	need(linkat(AT_FDCWD, path, AT_FDCWD, "made", AT_SYMLINK_FOLLOW), "linkat");
	close(fd);
}

static void tmpfile_link_and_write(void)
{
	char path[64];
	int fd = need(open(out, O_TMPFILE | O_WRONLY, 0644), "O_TMPFILE");

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	need(linkat(AT_FDCWD, path, AT_FDCWD, "made", AT_SYMLINK_FOLLOW), "linkat");
	overwrite(fd);
	close(fd);
}

static void link_into(void)
{
	make(beside("other"), AFTER);
	need(link(beside("other"), "made"), "link");
}

static void make_special(void)
{
	need(mknod("made", S_IFIFO | 0644, 0), "mknod");
}

static void make_device(void)
{
	need(mknod("made", S_IFCHR | 0600, 0x103), "mknod");
}

static void make_symbolic(void)
{
	need(symlink("/etc/shadow", "made"), "symlink");
}

/* Twenty directories with long names: the path of what is in the last is longer than a system call takes. */
static void beyond_path_max(void)
{
	char name[251];
	int i;

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	for (i = 0; i < 20; i++) {
		need(mkdir(name, 0755), "mkdir");
		need(chdir(name), "chdir");
	}
	make("made", AFTER);
	need(chdir(watched), "chdir");
}

static void longest_name(void)
{
	char name[256];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	make(name, AFTER);
}

static void odd_name(void)
{
	make("line\nbreak", AFTER);
	make("quote\"quote", AFTER);
	make("escape\033[31m", AFTER);
	make("back\\slash", AFTER);
	make("bytes\xff\xfe", AFTER);
}

const struct technique name_techniques[] = {
	{ "replace", NULL, replace_from_outside },
	{ "replace-inside", NULL, replace_from_inside },
	{ "exchange", NULL, exchange_with_outside },
	{ "exchange-inside", make_other, exchange_inside },
	{ "whiteout", NULL, whiteout },
	{ "away", NULL, move_away },
	{ "away-and-back", NULL, move_away_and_back },
	{ "away-change-back", NULL, move_away_change_and_back },
	{ "rename-parent", make_tree, rename_parent },
	{ "rename-grandparent", make_tree, rename_grandparent },
	{ "rename-parent-back", make_tree, rename_parent_and_back },
	{ "replace-parent", make_tree, replace_parent },
	{ "move-tree-in", NULL, move_tree_in },
	{ "symlink-swap", make_link, swap_link },
	{ "remove-and-make", NULL, remove_and_make },
	{ "remove", NULL, remove_file },
	{ "remove-kept", NULL, keep_and_remove },
	{ "directory-and-file", NULL, make_directory_and_file },
	{ "deep", NULL, make_deep },
	{ "directory-moved", NULL, make_and_move_directory },
	{ "transient", NULL, make_and_remove },
	{ "transient-deep", NULL, make_and_remove_in_new_directory },
	{ "tmpfile", NULL, tmpfile_and_link },
	{ "tmpfile-write", NULL, tmpfile_link_and_write },
	{ "link-into", NULL, link_into },
	{ "fifo", NULL, make_special },
	{ "device", NULL, make_device },
	{ "symlink", NULL, make_symbolic },
	{ "beyond-path-max", NULL, beyond_path_max },
	{ "longest-name", NULL, longest_name },
	{ "odd-names", NULL, odd_name },
	{ 0 },
};
