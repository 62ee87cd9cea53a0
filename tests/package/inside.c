// Makes one system call in each thread of another process, as whoever had taken that process over could:
//   inside PID CALL ARGUMENT…
// An argument is a number, or a text whose address is passed. Prints for each thread what the kernel said: a number, or the
// name of the error. Exit status: 0 if it was permitted anywhere · 1 if it was refused everywhere · 2 if it could not be tried.
//
// All that holds the process holds its call: credentials, name spaces, seccomp, landlock and security modules. To try the same
// from a program of our own would only test what that program was given.
#define _GNU_SOURCE
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS = 6, TEXT_MAX = 256, RED_ZONE = 4096, SYSCALL_SIZE = 2 };

static const struct {
	const char *name;
	long number;
} calls[] = {
	{"openat", SYS_openat},	  {"unlinkat", SYS_unlinkat}, {"renameat2", SYS_renameat2},   {"linkat", SYS_linkat},
	{"symlinkat", SYS_symlinkat}, {"mkdirat", SYS_mkdirat},	  {"fchmodat", SYS_fchmodat},	  {"fchownat", SYS_fchownat},
	{"mknodat", SYS_mknodat}, {"socket", SYS_socket},	  {"connect", SYS_connect},	  {"execve", SYS_execve},
	{"execveat", SYS_execveat}, {"clone", SYS_clone},	  {"fork", SYS_fork},		  {"ptrace", SYS_ptrace},
	{"process_vm_readv", SYS_process_vm_readv},		  {"bpf", SYS_bpf},		  {"perf_event_open", SYS_perf_event_open},
	{"mount", SYS_mount},	  {"umount2", SYS_umount2},	  {"unshare", SYS_unshare},	  {"setns", SYS_setns},
	{"chroot", SYS_chroot},	  {"setuid", SYS_setuid},	  {"capset", SYS_capset},	  {"kill", SYS_kill},
	{"init_module", SYS_init_module}, {"io_uring_setup", SYS_io_uring_setup}, {"mprotect", SYS_mprotect},
	{"mmap", SYS_mmap},	  {"keyctl", SYS_keyctl},	  {"reboot", SYS_reboot},	  {"getpid", SYS_getpid},
	{"close", SYS_close},
};

static long number_of(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].number;
	fprintf(stderr, "inside: no system call %s in the list\n", name);
	exit(2);
}

static void failed(const char *what, pid_t thread)
{
	fprintf(stderr, "inside: %s of thread %d: %s\n", what, thread, strerror(errno));
	exit(2);
}

// Texts go where the stack of the thread will grow to, beyond what a function may use without saying so.
static void put_arguments(pid_t thread, struct user_regs_struct *registers, char **arguments, int count)
{
	unsigned long long *places[ARGUMENTS] = {&registers->rdi, &registers->rsi, &registers->rdx,
						 &registers->r10, &registers->r8,  &registers->r9};
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", thread);
	int memory = open(path, O_RDWR | O_CLOEXEC);
	if (memory < 0)
		failed("the memory", thread);
	for (int i = 0; i < ARGUMENTS; i++) {
		char *end = NULL;
		*places[i] = i < count ? (unsigned long long)strtoll(arguments[i], &end, 0) : 0;
		if (i >= count || (*arguments[i] && !*end))
			continue;
		off_t at = (off_t)(registers->rsp - RED_ZONE - (unsigned long)i * TEXT_MAX);
		if (pwrite(memory, arguments[i], strlen(arguments[i]) + 1, at) < 0)
			failed("writing to the memory", thread);
		*places[i] = (unsigned long long)at;
	}
	close(memory);
}

static void await_stop(pid_t thread)
{
	int status;
	if (waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status))
		failed("the stop", thread);
}

// A daemon that waits does so in a system call: the instruction before its place makes one.
static int stands_behind_a_call(pid_t thread, const struct user_regs_struct *registers)
{
	errno = 0;
	long word = ptrace(PTRACE_PEEKTEXT, thread, registers->rip - SYSCALL_SIZE, 0);
	return errno == 0 && (word & 0xffff) == 0x050f;
}

static void stop_in_a_call(pid_t thread, struct user_regs_struct *registers)
{
	if (ptrace(PTRACE_SEIZE, thread, 0, 0) < 0)
		failed("seizing", thread);
	for (int tries = 0; tries < 1000; tries++) {
		if (ptrace(PTRACE_INTERRUPT, thread, 0, 0) < 0)
			failed("stopping", thread);
		await_stop(thread);
		if (ptrace(PTRACE_GETREGS, thread, 0, registers) < 0)
			failed("the registers", thread);
		if (stands_behind_a_call(thread, registers))
			return;
		ptrace(PTRACE_CONT, thread, 0, 0);
		usleep(10000);
	}
	failed("no moment in a system call", thread);
}

static long call_in(pid_t thread, long number, char **arguments, int count)
{
	struct user_regs_struct kept, registers;
	stop_in_a_call(thread, &kept);
	registers = kept;
	registers.rip -= SYSCALL_SIZE;
	registers.rax = (unsigned long long)number;
	registers.orig_rax = ~0ULL; // nothing to be restarted
	put_arguments(thread, &registers, arguments, count);
	if (ptrace(PTRACE_SETREGS, thread, 0, &registers) < 0 || ptrace(PTRACE_SINGLESTEP, thread, 0, 0) < 0)
		failed("the call", thread);
	await_stop(thread);
	if (ptrace(PTRACE_GETREGS, thread, 0, &registers) < 0)
		failed("the registers after the call", thread);
	// What was interrupted begins anew, as the kernel would have it.
	long interrupted = (long)kept.rax;
	if (interrupted <= -512 && interrupted >= -516) {
		kept.rip -= SYSCALL_SIZE;
		kept.rax = kept.orig_rax;
	}
	kept.orig_rax = ~0ULL;
	if (ptrace(PTRACE_SETREGS, thread, 0, &kept) < 0 || ptrace(PTRACE_DETACH, thread, 0, 0) < 0)
		failed("letting go", thread);
	return (long)registers.rax;
}

// A worker of io_uring is a thread of the process too, but never comes out of the kernel.
static int is_of_the_kernel(const char *tasks, const char *thread)
{
	char path[512], name[16] = "";
	snprintf(path, sizeof(path), "%s/%s/comm", tasks, thread);
	FILE *file = fopen(path, "re");
	if (!file)
		return 1; // it has ended
	if (!fgets(name, sizeof(name), file))
		name[0] = 0;
	fclose(file);
	return strncmp(name, "iou-", 4) == 0;
}

int main(int count, char **words)
{
	if (count < 3 || count > 3 + ARGUMENTS) {
		fprintf(stderr, "usage: inside PID CALL ARGUMENT…\n");
		return 2;
	}
	long number = number_of(words[2]);
	char path[64];
	snprintf(path, sizeof(path), "/proc/%s/task", words[1]);
	DIR *tasks = opendir(path);
	if (!tasks) {
		perror(path);
		return 2;
	}
	int permitted = 0;
	for (struct dirent *task; (task = readdir(tasks));) {
		pid_t thread = atoi(task->d_name);
		if (thread <= 0 || is_of_the_kernel(path, task->d_name))
			continue;
		long answer = call_in(thread, number, words + 3, count - 3);
		if (answer < 0 && answer > -4096) {
			printf("%s\n", strerrorname_np((int)-answer));
		} else {
			printf("%ld\n", answer);
			permitted = 1;
		}
	}
	return permitted ? 0 : 1;
}
