/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What file operations cost in a guest whose clock counts instructions (QEMU's -icount shift=0: a nanosecond each):
 *
 *   hooks run NAME DIRECTORY        prints `NAME TAB operation TAB instructions` of operations on a file in DIRECTORY
 *   hooks empty LIST                 hangs an empty program on each function in the file LIST (`fexit vfs_write`, or
 *                                    `lsm bpf_lsm_file_permission`), stays
 *   hooks inotify|fanotify DIRECTORY has the file in DIRECTORY watched for changes, stays
 *   hooks audit DIRECTORY            as `auditctl -w DIRECTORY -p wa`
 *
 * Those that stay print a line when they are ready and then never run again, so that they cost no instruction of their own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The least mean of CHUNKS times ROUNDS: an interrupt or the journal's thread falls into some, never into all. */
#define CHUNKS 9
#define ROUNDS 100

static void die(const char *what)
{
	printf("hooks: %s: %s\n", what, strerror(errno));
	exit(1);
}

static const char *inside(const char *directory, const char *name)
{
	static char paths[4][4096];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static void stay(void)
{
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

/* ---- Operations ---- */

static char target[4096], spare[4096], moved[4096], block[4096];
static int file;

static void check(long result)
{
	if (result < 0)
		die("an operation failed");
}

static void write_byte(void) { check(pwrite(file, block, 1, 0)); }
static void write_block(void) { check(pwrite(file, block, sizeof(block), 0)); }
static void read_byte(void) { check(pread(file, block, 1, 0)); }

static void open_close(void)
{
	int opened = open(target, O_RDONLY);

	check(opened);
	close(opened);
}

static void open_write_close(void)
{
	int opened = open(target, O_RDWR);

	check(opened);
	close(opened);
}

static void create_unlink(void)
{
	int opened = open(spare, O_WRONLY | O_CREAT | O_EXCL, 0600);

	check(opened);
	close(opened);
	check(unlink(spare));
}

/* There and back: two renames. */
static void rename_twice(void)
{
	check(rename(target, moved));
	check(rename(moved, target));
}

static void change_mode(void)
{
	static unsigned mode;

	check(chmod(target, mode++ & 1 ? 0600 : 0640));
}

static void look(void)
{
	struct stat status;

	check(stat(target, &status));
}

static const struct {
	const char *name;
	void (*perform)(void);
} operations[] = {
	{ "pwrite 1 B", write_byte }, { "pwrite 4 KiB", write_block },	 { "pread 1 B", read_byte },
	{ "open+close", open_close }, { "open+close RW", open_write_close }, { "create+unlink", create_unlink },
	{ "rename x2", rename_twice }, { "chmod", change_mode },	 { "stat", look },
};

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static double least(void (*perform)(void))
{
	long long best = 0, start, took;

	for (int chunk = -1; chunk < CHUNKS; chunk++) { /* the first warms up */
		start = now();
		for (int round = 0; round < ROUNDS; round++)
			perform();
		took = now() - start;
		if (chunk >= 0 && (!best || took < best))
			best = took;
	}
	return (double)best / ROUNDS;
}

static void run(const char *name, const char *directory)
{
	strcpy(target, inside(directory, "file"));
	strcpy(spare, inside(directory, "spare"));
	strcpy(moved, inside(directory, "moved"));
	file = open(target, O_RDWR | O_CREAT, 0600);
	if (file < 0)
		die(target);
	check(pwrite(file, block, sizeof(block), 0));
	for (unsigned i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		printf("%s\t%s\t%.1f\n", name, operations[i].name, least(operations[i].perform));
}

/* ---- Empty programs ---- */

static char *read_all(const char *path, size_t *size)
{
	int opened = open(path, O_RDONLY);
	struct stat status;
	char *bytes;
	ssize_t got;

	if (opened < 0 || fstat(opened, &status) || !(bytes = malloc(status.st_size)))
		die(path);
	for (*size = 0; *size < (size_t)status.st_size; *size += got)
		if ((got = read(opened, bytes + *size, status.st_size - *size)) <= 0)
			die(path);
	return bytes;
}

/* Bytes behind a type, by its kind. */
static size_t behind(const struct btf_type *type)
{
	unsigned count = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return 4;
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_DATASEC:
		return count * 12;
	case BTF_KIND_ENUM:
	case BTF_KIND_FUNC_PROTO:
		return count * 8;
	case 19: /* BTF_KIND_ENUM64, which older headers lack */
		return count * 12;
	}
	return 0;
}

static unsigned function_id(const char *name)
{
	static char *bytes;
	static size_t size;
	const struct btf_header *header;
	const char *strings;
	char *at;

	if (!bytes)
		bytes = read_all("/sys/kernel/btf/vmlinux", &size);
	header = (void *)bytes;
	strings = bytes + header->hdr_len + header->str_off;
	at = bytes + header->hdr_len + header->type_off;
	for (unsigned id = 1; at < bytes + header->hdr_len + header->type_off + header->type_len; id++) {
		const struct btf_type *type = (void *)at;

		if (BTF_INFO_KIND(type->info) == BTF_KIND_FUNC && !strcmp(strings + type->name_off, name))
			return id;
		at += sizeof(*type) + behind(type);
	}
	errno = ENOENT;
	die(name);
	return 0;
}

static void hang_empty(const char *name, enum bpf_attach_type type)
{
	struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr load = {
		.prog_type = type == BPF_LSM_MAC ? BPF_PROG_TYPE_LSM : BPF_PROG_TYPE_TRACING,
		.expected_attach_type = type,
		.insns = (unsigned long)code,
		.insn_cnt = 2,
		.license = (unsigned long)"GPL",
		.attach_btf_id = function_id(name),
	};
	union bpf_attr attach = {};
	int program = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));

	if (program < 0)
		die(name);
	attach.raw_tracepoint.prog_fd = program;
	if (syscall(SYS_bpf, BPF_RAW_TRACEPOINT_OPEN, &attach, sizeof(attach)) < 0)
		die(name);
}

static void hang_all_empty(const char *list)
{
	char how[16], name[128];
	FILE *functions = fopen(list, "r");

	if (!functions)
		die(list);
	while (fscanf(functions, "%15s %127s", how, name) == 2)
		hang_empty(name, !strcmp(how, "lsm")   ? BPF_LSM_MAC :
				 !strcmp(how, "fexit") ? BPF_TRACE_FEXIT :
							 BPF_TRACE_FENTRY);
	stay();
}

/* ---- Others ---- */

static void watch_by_inotify(const char *directory)
{
	int queue = inotify_init();

	/* the directory, for names, and the file itself, as who wants to see changes through any name does */
	if (queue < 0 ||
	    inotify_add_watch(queue, directory, IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE) < 0)
		die("inotify");
	stay();
}

static void watch_by_fanotify(const char *directory)
{
	int queue = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_UNLIMITED_QUEUE, O_RDONLY);

	if (queue < 0 || fanotify_mark(queue, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
				       FAN_MODIFY | FAN_ATTRIB | FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO |
					       FAN_CLOSE_WRITE | FAN_ONDIR,
				       AT_FDCWD, directory))
		die("fanotify");
	stay();
}

static void tell_audit(int type, const void *data, size_t size)
{
	struct {
		struct nlmsghdr header;
		char data[2048];
	} message = { .header = { .nlmsg_len = NLMSG_LENGTH(size),
				  .nlmsg_type = type,
				  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK } };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int channel = socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT);
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char more[2048];
	} answer;

	memcpy(message.data, data, size);
	if (channel < 0 ||
	    sendto(channel, &message, message.header.nlmsg_len, 0, (void *)&kernel, sizeof(kernel)) < 0 ||
	    recv(channel, &answer, sizeof(answer), 0) < 0)
		die("audit");
	errno = -answer.error.error;
	if (answer.header.nlmsg_type == NLMSG_ERROR && errno)
		die("audit");
	close(channel);
}

static void watch_by_audit(const char *directory)
{
	struct audit_status status = { .mask = AUDIT_STATUS_ENABLED, .enabled = 1 };
	struct {
		struct audit_rule_data rule;
		char path[1024];
	} watch = { .rule = { .flags = AUDIT_FILTER_EXIT, .action = AUDIT_ALWAYS, .field_count = 2 } };

	memset(watch.rule.mask, 0xff, sizeof(watch.rule.mask));
	watch.rule.fields[0] = AUDIT_DIR;
	watch.rule.fieldflags[0] = AUDIT_EQUAL;
	watch.rule.values[0] = strlen(directory);
	watch.rule.fields[1] = AUDIT_PERM;
	watch.rule.fieldflags[1] = AUDIT_EQUAL;
	watch.rule.values[1] = AUDIT_PERM_WRITE | AUDIT_PERM_ATTR;
	watch.rule.buflen = strlen(directory);
	memcpy(watch.rule.buf, directory, watch.rule.buflen);
	tell_audit(AUDIT_SET, &status, sizeof(status));
	tell_audit(AUDIT_ADD_RULE, &watch, sizeof(watch.rule) + watch.rule.buflen);
	puts("ready");
}

int main(int count, char **words)
{
	const char *word = count > 1 ? words[1] : "";

	if (!strcmp(word, "run") && count == 4)
		run(words[2], words[3]);
	else if (!strcmp(word, "empty") && count == 3)
		hang_all_empty(words[2]);
	else if (!strcmp(word, "inotify") && count == 3)
		watch_by_inotify(words[2]);
	else if (!strcmp(word, "fanotify") && count == 3)
		watch_by_fanotify(words[2]);
	else if (!strcmp(word, "audit") && count == 3)
		watch_by_audit(words[2]);
	return 0; /* scripts/vm runs every program that it is given; this one means nothing by itself */
}
