/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Content again, by a descriptor or a name that was come by in an unusual way. */
#include "evade.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static int kept;

static void open_and_keep(void)
{
	kept = open_file(O_RDWR);
}

static void write_kept(void)
{
	overwrite(kept);
	close(kept);
}

static void write_kept_open(void)
{
	overwrite(kept);
}

static void *write_in_thread(void *nothing)
{
	overwrite_path("file");
	return nothing;
}

static void by_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, write_in_thread, NULL))
		cannot("no thread can be made");
	pthread_join(thread, NULL);
}

static void write_file(void)
{
	overwrite_path("file");
}

static void by_child(void)
{
	in_child(write_file);
}

static int ends[2];

static void receive_and_write(void)
{
	char data, control[CMSG_SPACE(sizeof(int))];
	struct iovec vector = { &data, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	int fd;

	need(recvmsg(ends[1], &message, 0), "recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	overwrite(fd);
}

static void by_socket(void)
{
	char data = 'x', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec vector = { &data, 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int fd = open_file(O_RDWR);

	need(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	need(sendmsg(ends[0], &message, 0), "sendmsg");
	close(fd);
	in_child(receive_and_write);
}

static void take_and_write(void)
{
	int parent = need(syscall(434, getppid(), 0), "pidfd_open");
	int fd = need(syscall(438, parent, kept, 0), "pidfd_getfd");

	overwrite(fd);
}

static void by_pidfd(void)
{
	kept = open_file(O_RDWR);
	in_child(take_and_write);
}

static void through_own_descriptor(void)
{
	char path[64];

	kept = open_file(O_RDONLY);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", kept);
	overwrite_path(path);
}

static void reopen_of_parent(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getppid(), kept);
	overwrite_path(path);
}

static void through_descriptor_of_another(void)
{
	kept = open_file(O_RDONLY);
	in_child(reopen_of_parent);
}

static void through_root_of_process(void)
{
	char path[2 * BLOCK];

	snprintf(path, sizeof(path), "/proc/self/root%s/file", watched);
	overwrite_path(path);
}

static void through_working_directory(void)
{
	overwrite_path("/proc/self/cwd/file");
}

static void by_handle(void)
{
	struct {
		struct file_handle handle;
		unsigned char bytes[128];
	} it = { .handle.handle_bytes = 128 };
	int mount, fd;

	need(name_to_handle_at(AT_FDCWD, "file", &it.handle, &mount, 0), "name_to_handle_at");
	mount = need(open(watched, O_RDONLY | O_DIRECTORY), "open");
	fd = open_by_handle_at(mount, &it.handle, O_WRONLY);
	if (fd < 0 && (errno == ESTALE || errno == EINVAL))
		cannot("open_by_handle_at: this file system does not open by handle");
	overwrite(need(fd, "open_by_handle_at"));
	close(fd);
}

static void link_outside(void)
{
	need(link("file", beside("alias")), "link");
}

static void write_alias(void)
{
	overwrite_path(beside("alias"));
}

static void chmod_alias(void)
{
	need(chmod(beside("alias"), 0600), "chmod");
}

static void link_and_write_alias(void)
{
	link_outside();
	write_alias();
}

static void bind_outside(void)
{
	need(mkdir(beside("bind"), 0755), "mkdir");
	need(mount(watched, beside("bind"), NULL, MS_BIND, NULL), "mount");
}

static void write_bound(void)
{
	overwrite_path(beside("bind/file"));
}

static void own_namespace(void)
{
	need(unshare(CLONE_NEWNS), "unshare");
	need(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount");
}

static void in_another_namespace(void)
{
	own_namespace();
	bind_outside();
	write_bound();
}

static void in_chroot(void)
{
	need(chroot(watched), "chroot");
	overwrite_path("/file");
}

static void after_pivot_root(void)
{
	own_namespace();
	need(mount(watched, watched, NULL, MS_BIND, NULL), "mount");
	need(chdir(watched), "chdir");
	need(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	need(umount2(".", MNT_DETACH), "umount");
	need(chdir("/"), "chdir");
	overwrite_path("/file");
}

static void in_user_namespace(void)
{
	need(unshare(CLONE_NEWUSER | CLONE_NEWPID), "unshare");
	overwrite(kept);
}

static void as_another_user(void)
{
	need(setgid(65534), "setgid");
	need(setuid(65534), "setuid");
	overwrite(kept);
}

static void under_another_name(void)
{
	need(prctl(PR_SET_NAME, "fimk-analyzer"), "prctl");
	write_file();
}

const struct technique way_techniques[] = {
	{ "opened-earlier", open_and_keep, write_kept },
	{ "opened-earlier-kept", open_and_keep, write_kept_open },
	{ "thread", NULL, by_thread },
	{ "child", NULL, by_child },
	{ "socket", NULL, by_socket },
	{ "pidfd", NULL, by_pidfd },
	{ "own-descriptor", NULL, through_own_descriptor },
	{ "descriptor-of-another", NULL, through_descriptor_of_another },
	{ "process-root", NULL, through_root_of_process },
	{ "process-directory", NULL, through_working_directory },
	{ "handle", NULL, by_handle },
	{ "alias-old", link_outside, write_alias },
	{ "alias-new", NULL, link_and_write_alias },
	{ "alias-chmod", link_outside, chmod_alias },
	{ "bind", bind_outside, write_bound },
	{ "namespace", NULL, in_another_namespace },
	{ "chroot", NULL, in_chroot },
	{ "pivot-root", NULL, after_pivot_root },
	{ "user-namespace", open_and_keep, in_user_namespace },
	{ "another-user", open_and_keep, as_another_user },
	{ "another-name", NULL, under_another_name },
	{ 0 },
};
