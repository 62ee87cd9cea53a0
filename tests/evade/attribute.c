/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Mode, owner, times, extended attributes, flags. */
#include "evade.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

static void by_chmod(void)
{
	need(chmod("file", 0600), "chmod");
}

static void by_fchmod(void)
{
	int fd = open_file(O_RDONLY);

	need(fchmod(fd, 04755), "fchmod");
	close(fd);
}

static void by_fchmodat2(void)
{
	need(syscall(452, AT_FDCWD, "file", 0600, AT_SYMLINK_NOFOLLOW), "fchmodat2");
}

static void by_chown(void)
{
	need(chown("file", 65534, 65534), "chown");
}

static void by_fchownat(void)
{
	need(fchownat(AT_FDCWD, "file", 65534, -1, AT_SYMLINK_NOFOLLOW), "fchownat");
}

static void by_utimensat(void)
{
	const struct timespec times[2] = { { 1000000000, 0 }, { 1000000000, 0 } };

	need(utimensat(AT_FDCWD, "file", times, 0), "utimensat");
}

/* The time of change is what cannot be put back. */
static void timestomp(void)
{
	struct timespec times[2];
	struct stat before;

	need(stat("file", &before), "stat");
	overwrite_path("file");
	times[0] = before.st_atim;
	times[1] = before.st_mtim;
	need(utimensat(AT_FDCWD, "file", times, 0), "utimensat");
}

static void set(const char *name, const void *value, size_t length)
{
	need(setxattr("file", name, value, length, 0), name);
}

static void set_user(void)
{
	set("user.fimk", "one", 3);
}

static void remove_user(void)
{
	need(removexattr("file", "user.fimk"), "removexattr");
}

static void set_trusted(void)
{
	set("trusted.fimk", "one", 3);
}

/* user::rw- user:65534:rw- group::r-- mask::rw- other::r--, as the kernel takes it: version 2, then tag, rights, id. */
static void set_list(void)
{
	const unsigned char list[] = {
		2, 0, 0, 0, 0x01, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 6, 0, 0xfe, 0xff, 0, 0, 0x04, 0, 4, 0,
		0xff, 0xff, 0xff, 0xff, 0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	};

	set("system.posix_acl_access", list, sizeof(list));
}

static void remove_list(void)
{
	need(removexattr("file", "system.posix_acl_access"), "removexattr");
}

/* cap_setuid, permitted and effective: revision 2, two pairs of words. */
static void set_capability(void)
{
	const unsigned char value[20] = { 1, 0, 0, 2, 0x80 };

	set("security.capability", value, sizeof(value));
}

static void set_label(void)
{
	set("security.selinux", "system_u:object_r:shadow_t:s0", 30);
}

static void flags(int added)
{
	int fd = open_file(O_RDONLY), now = 0;

	need(ioctl(fd, FS_IOC_GETFLAGS, &now), "FS_IOC_GETFLAGS");
	now = added ? now | added : now & ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
	need(ioctl(fd, FS_IOC_SETFLAGS, &now), "FS_IOC_SETFLAGS");
	close(fd);
}

static void set_immutable(void)
{
	flags(FS_IMMUTABLE_FL);
}

static void set_nodump(void)
{
	flags(FS_NODUMP_FL);
}

static void clear_flags(void)
{
	flags(0);
}

static void set_by_fsxattr(void)
{
	struct fsxattr now;
	int fd = open_file(O_RDONLY);

	need(ioctl(fd, FS_IOC_FSGETXATTR, &now), "FS_IOC_FSGETXATTR");
	now.fsx_xflags |= FS_XFLAG_APPEND;
	need(ioctl(fd, FS_IOC_FSSETXATTR, &now), "FS_IOC_FSSETXATTR");
	close(fd);
}

/* struct file_attr of newer kernels: flags, then four numbers of 32 bits. */
static void set_by_file_setattr(void)
{
	struct {
		unsigned long long flags;
		unsigned int numbers[4];
	} now = { 0 };

	need(syscall(468, AT_FDCWD, "file", &now, sizeof(now), 0), "file_getattr");
	now.flags |= FS_XFLAG_APPEND;
	need(syscall(469, AT_FDCWD, "file", &now, sizeof(now), 0), "file_setattr");
}

const struct technique attribute_techniques[] = {
	{ "chmod", NULL, by_chmod },
	{ "fchmod", NULL, by_fchmod },
	{ "fchmodat2", NULL, by_fchmodat2 },
	{ "chown", NULL, by_chown },
	{ "fchownat", NULL, by_fchownat },
	{ "utimensat", NULL, by_utimensat },
	{ "timestomp", NULL, timestomp },
	{ "set-user", NULL, set_user },
	{ "remove-user", set_user, remove_user },
	{ "set-trusted", NULL, set_trusted },
	{ "set-list", NULL, set_list },
	{ "remove-list", set_list, remove_list },
	{ "set-capability", NULL, set_capability },
	{ "set-label", NULL, set_label },
	{ "immutable", NULL, set_immutable, clear_flags },
	{ "nodump", NULL, set_nodump },
	{ "fsxattr", NULL, set_by_fsxattr, clear_flags },
	{ "file-setattr", NULL, set_by_file_setattr, clear_flags },
	{ 0 },
};
