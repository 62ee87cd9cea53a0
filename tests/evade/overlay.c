/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* On an overlay, and behind its back: `merged/up` is in the upper layer, `merged/low` and `merged/sub/file` in the lower. */
#include "evade.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/xattr.h>

static void layers(void)
{
	char options[8 * BLOCK];
	const char *const directories[] = { "lower", "upper", "work" };
	unsigned int i;

	for (i = 0; i < 3; i++)
		need(mkdir(beside(directories[i]), 0755), "mkdir");
	copy_text("file", beside("lower/low"));
	copy_text("file", beside("upper/up"));
	need(mkdir(beside("lower/sub"), 0755), "mkdir");
	copy_text("file", beside("lower/sub/file"));
	need(mkdir("merged", 0755), "mkdir");
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", beside("lower"), beside("upper"), beside("work"));
	if (mount("fimk-test", "merged", "overlay", 0, options)) {
		if (errno == EINVAL)
			cannot("mount: this file system cannot be the upper of an overlay");
		need(-1, "mount of an overlay");
	}
}

static void write_merged_upper(void)
{
	overwrite_path("merged/up");
}

static void write_merged_lower(void)
{
	overwrite_path("merged/low");
}

static void chmod_merged_lower(void)
{
	need(chmod("merged/low", 0600), "chmod");
}

static void make_in_merged(void)
{
	make("merged/made", AFTER);
}

static void remove_in_merged(void)
{
	need(unlink("merged/low"), "unlink");
}

static void write_upper(void)
{
	overwrite_path(beside("upper/up"));
}

static void write_lower(void)
{
	overwrite_path(beside("lower/low"));
}

static void write_in_lower_directory(void)
{
	overwrite_path("merged/sub/file");
}

static void truncate_merged_lower(void)
{
	need(truncate("merged/low", BLOCK), "truncate");
}

static void store_in_merged_lower(void)
{
	int fd = need(open("merged/low", O_RDWR), "open");
	void *address = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (address == MAP_FAILED)
		need(-1, "mmap");
	close(fd);
	memcpy(address, AFTER, LINE);
	munmap(address, BLOCK);
}

static void attribute_of_merged_lower(void)
{
	need(setxattr("merged/low", "user.fimk", "one", 3, 0), "user.fimk");
}

static void rename_merged_lower(void)
{
	need(rename("merged/low", "merged/moved"), "rename");
}

static void replace_merged_lower(void)
{
	make("merged/made", AFTER);
	need(rename("merged/made", "merged/low"), "rename");
}

static void remove_and_make_merged_lower(void)
{
	need(unlink("merged/low"), "unlink");
	make("merged/low", AFTER);
}

static void link_merged_lower(void)
{
	need(link("merged/low", "merged/made"), "link");
	overwrite_path("merged/made");
}

const struct technique overlay_techniques[] = {
	{ "overlay-upper", layers, write_merged_upper },
	{ "overlay-copy-up", layers, write_merged_lower },
	{ "overlay-deep", layers, write_in_lower_directory },
	{ "overlay-truncate", layers, truncate_merged_lower },
	{ "overlay-map", layers, store_in_merged_lower },
	{ "overlay-chmod", layers, chmod_merged_lower },
	{ "overlay-attribute", layers, attribute_of_merged_lower },
	{ "overlay-make", layers, make_in_merged },
	{ "overlay-remove", layers, remove_in_merged },
	{ "overlay-rename", layers, rename_merged_lower },
	{ "overlay-replace", layers, replace_merged_lower },
	{ "overlay-remake", layers, remove_and_make_merged_lower },
	{ "overlay-link", layers, link_merged_lower },
	{ "overlay-below", layers, write_upper },
	{ "overlay-lowest", layers, write_lower },
	{ 0 },
};
