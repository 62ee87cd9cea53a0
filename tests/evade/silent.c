/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What changes nothing that is watched. */
#include "evade.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sched.h>
#include <signal.h>
#include <sys/xattr.h>

static void by_read(void)
{
	char text[BLOCK];
	int fd = open_file(O_RDONLY);

	need(read(fd, text, sizeof(text)), "read");
	close(fd);
}

static void by_look(void)
{
	struct stat it;

	need(stat("file", &it), "stat");
	need(access("file", W_OK), "access");
}

static void open_for_writing(void)
{
	close(open_file(O_RDWR));
	close(open_file(O_WRONLY | O_APPEND));
	close(need(open("file", O_WRONLY | O_CREAT, 0600), "open"));
}

static void write_nothing(void)
{
	int fd = open_file(O_WRONLY);

	need(write(fd, AFTER, 0), "write");
	close(fd);
}

static void become_nobody(void)
{
	need(setgid(65534), "setgid");
	need(setuid(65534), "setuid");
}

/* Succeeds when the refusal came. */
static void refused(int result, const char *what)
{
	if (!result) {
		errno = EEXIST;
		need(-1, what);
	}
}

static void not_allowed(void)
{
	become_nobody();
	refused(open("file", O_WRONLY) < 0, "the open succeeded");
	refused(truncate("file", 0) < 0, "the truncate succeeded");
	refused(unlink("file") < 0, "the unlink succeeded");
	refused(rename("file", "moved") < 0, "the rename succeeded");
	refused(chmod("file", 0777) < 0, "the chmod succeeded");
	refused(chown("file", 65534, -1) < 0, "the chown succeeded");
	refused(setxattr("file", "user.fimk", "one", 3, 0) < 0, "the setxattr succeeded");
	refused(link("file", "link") < 0, "the link succeeded");
	refused(open("made", O_WRONLY | O_CREAT, 0644) < 0, "the creation succeeded");
}

static void refuse_all(void)
{
	in_child(not_allowed);
}

static void beyond_limit(void)
{
	const struct rlimit none = { 0, 0 };
	int fd = open_file(O_WRONLY | O_APPEND);

	signal(SIGXFSZ, SIG_IGN);
	need(setrlimit(RLIMIT_FSIZE, &none), "setrlimit");
	refused(write(fd, AFTER, LINE) < 0, "the write succeeded");
	close(fd);
}

static void bad_address(void)
{
	int fd = open_file(O_WRONLY);

	refused(syscall(SYS_write, fd, 8L, LINE) < 0, "the write succeeded");
	close(fd);
}

static void no_descriptor_for_writing(void)
{
	int fd = open_file(O_RDONLY);

	refused(write(fd, AFTER, LINE) < 0, "the write succeeded");
	refused(ftruncate(fd, 0) < 0, "the ftruncate succeeded");
	close(fd);
}

static void rewrite_same(void)
{
	int fd = open_file(O_WRONLY);

	need(pwrite(fd, BEFORE, LINE, 0), "pwrite");
	close(fd);
}

static void chmod_same(void)
{
	need(chmod("file", 0644), "chmod");
}

static void chown_same(void)
{
	need(chown("file", -1, -1), "chown");
	need(chown("file", 0, 0), "chown");
}

static void set_once(void)
{
	need(setxattr("file", "user.fimk", "one", 3, 0), "setxattr");
}

static void truncate_same(void)
{
	need(truncate("file", 3 * BLOCK), "truncate");
}

static void keep_size(void)
{
	int fd = open_file(O_WRONLY);

	need(fallocate(fd, FALLOC_FL_KEEP_SIZE, 3 * BLOCK, BLOCK), "fallocate");
	close(fd);
}

static void read_mapping(void)
{
	int fd = open_file(O_RDONLY);
	volatile char *mapped = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0);
	char byte;

	need(mapped == MAP_FAILED ? -1 : 0, "mmap");
	byte = mapped[0];
	(void)byte;
	close(fd);
}

static void write_private_mapping(void)
{
	int fd = open_file(O_RDONLY);
	char *mapped = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	need(mapped == MAP_FAILED ? -1 : 0, "mmap");
	memcpy(mapped, AFTER, LINE);
	close(fd);
}

static void unused_mapping(void)
{
	int fd = open_file(O_RDWR);
	char *mapped = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	need(mapped == MAP_FAILED ? -1 : 0, "mmap");
	munmap(mapped, BLOCK);
	close(fd);
}

static void dedupe(void)
{
	char space[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)] = { 0 };
	struct file_dedupe_range *range = (void *)space;
	int from, fd;

	copy_text("file", beside("twin"));
	from = need(open(beside("twin"), O_RDONLY), "open");
	need(fsync(from), "fsync");
	fd = open_file(O_RDWR);
	range->src_length = BLOCK;
	range->dest_count = 1;
	range->info[0].dest_fd = fd;
	need(ioctl(from, FIDEDUPERANGE, range), "FIDEDUPERANGE");
	if (range->info[0].status < 0) {
		/* overlayfs says EINVAL where the file system below has none */
		errno = range->info[0].status == -EINVAL ? EOPNOTSUPP : -range->info[0].status;
		need(-1, "FIDEDUPERANGE");
	}
	close(fd);
}

static void lock_it(void)
{
	int fd = open_file(O_RDWR);

	need(flock(fd, LOCK_EX), "flock");
	close(fd);
}

static void change_outside(void)
{
	make(beside("elsewhere"), BEFORE);
	overwrite_path(beside("elsewhere"));
	need(chmod(beside("elsewhere"), 0600), "chmod");
	need(rename(beside("elsewhere"), beside("elsewhere2")), "rename");
	need(unlink(beside("elsewhere2")), "unlink");
}

static void failing_names(void)
{
	refused(mkdir("file", 0755) < 0, "the mkdir succeeded");
	refused(unlink("none") < 0, "the unlink succeeded");
	refused(rename("none", "file") < 0, "the rename succeeded");
	refused(open("file", O_WRONLY | O_CREAT | O_EXCL, 0644) < 0, "the open succeeded");
	refused(rmdir("file") < 0, "the rmdir succeeded");
}

static void unnamed(void)
{
	int fd = need(open(".", O_TMPFILE | O_RDWR, 0600), "O_TMPFILE");

	overwrite(fd);
	close(fd);
}

static void mount_elsewhere(void)
{
	need(unshare(CLONE_NEWNS), "unshare");
	need(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount");
	need(mount("fimk-test", watched, "tmpfs", 0, NULL), "mount");
	make(within("file"), AFTER);
}

const struct technique silent_techniques[] = {
	{ "read", NULL, by_read },
	{ "look", NULL, by_look },
	{ "open-only", NULL, open_for_writing },
	{ "write-nothing", NULL, write_nothing },
	{ "refused", NULL, refuse_all },
	{ "beyond-limit", NULL, beyond_limit },
	{ "bad-address", NULL, bad_address },
	{ "read-only-descriptor", NULL, no_descriptor_for_writing },
	{ "rewrite-same", NULL, rewrite_same },
	{ "chmod-same", NULL, chmod_same },
	{ "chown-same", NULL, chown_same },
	{ "setxattr-same", set_once, set_once },
	{ "truncate-same", NULL, truncate_same },
	{ "keep-size", NULL, keep_size },
	{ "map-read", NULL, read_mapping },
	{ "map-private", NULL, write_private_mapping },
	{ "map-unused", NULL, unused_mapping },
	{ "dedupe", NULL, dedupe },
	{ "lock", NULL, lock_it },
	{ "outside", NULL, change_outside },
	{ "failing-names", NULL, failing_names },
	{ "unnamed", NULL, unnamed },
	{ "mount-elsewhere", NULL, mount_elsewhere },
	{ 0 },
};
