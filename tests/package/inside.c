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
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS = 6, TEXT_MAX = 256, RED_ZONE = 4096, PAGE = 4096, NEAR = 16 * PAGE };

// How a machine makes a system call, and where its registers have what.
#if defined(__x86_64__)
typedef struct user_regs_struct Registers;
static const unsigned char instruction[] = {0x0f, 0x05};
static unsigned long long *place(Registers *registers) { return &registers->rip; }
static unsigned long long stack(const Registers *registers) { return registers->rsp; }
static unsigned long long answer(const Registers *registers) { return registers->rax; }
static unsigned long long *argument(Registers *registers, int i)
{
	unsigned long long *places[ARGUMENTS] = {&registers->rdi, &registers->rsi, &registers->rdx,
						 &registers->r10, &registers->r8,  &registers->r9};
	return places[i];
}
static void set_number(Registers *registers, long number)
{
	registers->rax = (unsigned long long)number;
	registers->orig_rax = ~0ULL; // nothing to be restarted
}
// What was interrupted begins anew, as the kernel would have it.
static void begin_anew(Registers *registers)
{
	long interrupted = (long)registers->rax;
	if (interrupted <= -512 && interrupted >= -516) {
		registers->rip -= sizeof(instruction);
		registers->rax = registers->orig_rax;
	}
	registers->orig_rax = ~0ULL;
}
#elif defined(__aarch64__)
typedef struct user_regs_struct Registers;
static const unsigned char instruction[] = {0x01, 0x00, 0x00, 0xd4};
static unsigned long long *place(Registers *registers) { return &registers->pc; }
static unsigned long long stack(const Registers *registers) { return registers->sp; }
static unsigned long long answer(const Registers *registers) { return registers->regs[0]; }
static unsigned long long *argument(Registers *registers, int i) { return &registers->regs[i]; }
static void set_number(Registers *registers, long number) { registers->regs[8] = (unsigned long long)number; }
// Here the kernel has done so before it stops.
static void begin_anew(Registers *registers) { (void)registers; }
#else
#error "how this machine makes a system call is not known here"
#endif

static const struct {
	const char *name;
	long number;
} calls[] = {
	{"openat", SYS_openat},	  {"unlinkat", SYS_unlinkat}, {"renameat2", SYS_renameat2},   {"linkat", SYS_linkat},
	{"symlinkat", SYS_symlinkat}, {"mkdirat", SYS_mkdirat},	  {"fchmodat", SYS_fchmodat},	  {"fchownat", SYS_fchownat},
	{"mknodat", SYS_mknodat}, {"socket", SYS_socket},	  {"connect", SYS_connect},	  {"execve", SYS_execve},
	{"execveat", SYS_execveat}, {"clone", SYS_clone},	  {"ptrace", SYS_ptrace},
#ifdef SYS_fork
	{"fork", SYS_fork},
#endif
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

static int memory_of(pid_t thread)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/mem", thread);
	int memory = open(path, O_RDWR | O_CLOEXEC);
	if (memory < 0)
		failed("the memory", thread);
	return memory;
}

static void get_registers(pid_t thread, Registers *registers)
{
	struct iovec all = {registers, sizeof(*registers)};
	if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &all) < 0)
		failed("the registers", thread);
}

static void set_registers(pid_t thread, Registers *registers)
{
	struct iovec all = {registers, sizeof(*registers)};
	if (ptrace(PTRACE_SETREGSET, thread, NT_PRSTATUS, &all) < 0)
		failed("setting the registers", thread);
}

// Texts go where the stack of the thread will grow to, beyond what a function may use without saying so.
static void put_arguments(pid_t thread, int memory, Registers *registers, char **arguments, int count)
{
	for (int i = 0; i < ARGUMENTS; i++) {
		char *end = NULL;
		*argument(registers, i) = i < count ? (unsigned long long)strtoll(arguments[i], &end, 0) : 0;
		if (i >= count || (*arguments[i] && !*end))
			continue;
		off_t at = (off_t)(stack(registers) - RED_ZONE - (unsigned long)i * TEXT_MAX);
		if (pwrite(memory, arguments[i], strlen(arguments[i]) + 1, at) < 0)
			failed("writing to the memory", thread);
		*argument(registers, i) = (unsigned long long)at;
	}
}

static void await_stop(pid_t thread)
{
	int status;
	if (waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status))
		failed("the stop", thread);
}

static int is_a_call(int memory, unsigned long long at)
{
	unsigned char there[sizeof(instruction)];
	return pread(memory, there, sizeof(there), (off_t)at) == sizeof(there) && memcmp(there, instruction, sizeof(there)) == 0;
}

// A daemon that waits does so in a system call: the instruction before its place makes one, or that at its place, to make it again.
static int is_in_a_call(int memory, unsigned long long at)
{
	return is_a_call(memory, at - sizeof(instruction)) || is_a_call(memory, at);
}

static void stop_in_a_call(pid_t thread, int memory, Registers *registers)
{
	if (ptrace(PTRACE_SEIZE, thread, 0, 0) < 0)
		failed("seizing", thread);
	for (int tries = 0; tries < 1000; tries++) {
		if (ptrace(PTRACE_INTERRUPT, thread, 0, 0) < 0)
			failed("stopping", thread);
		await_stop(thread);
		get_registers(thread, registers);
		if (is_in_a_call(memory, *place(registers)))
			return;
		ptrace(PTRACE_CONT, thread, 0, 0);
		usleep(10000);
	}
	failed("no moment in a system call", thread);
}

// Another instruction than that of the interrupted call: at that one the kernel may make the interrupted call, not ours.
static unsigned long long another_call(pid_t thread, int memory, unsigned long long at)
{
	unsigned char page[PAGE];
	for (unsigned long long base = at / PAGE * PAGE - NEAR; base < at + NEAR; base += PAGE) {
		if (pread(memory, page, PAGE, (off_t)base) != PAGE)
			continue;
		for (size_t i = 0; i < PAGE; i += sizeof(instruction)) {
			unsigned long long there = base + i;
			if (there != at && there + sizeof(instruction) != at && memcmp(page + i, instruction, sizeof(instruction)) == 0)
				return there;
		}
	}
	failed("no other system call nearby", thread);
	return 0;
}

static long call_in(pid_t thread, long number, char **arguments, int count)
{
	Registers kept, registers;
	int memory = memory_of(thread);
	stop_in_a_call(thread, memory, &kept);
	registers = kept;
	*place(&registers) = another_call(thread, memory, *place(&kept));
	set_number(&registers, number);
	put_arguments(thread, memory, &registers, arguments, count);
	set_registers(thread, &registers);
	if (ptrace(PTRACE_SINGLESTEP, thread, 0, 0) < 0)
		failed("the call", thread);
	await_stop(thread);
	get_registers(thread, &registers);
	begin_anew(&kept);
	set_registers(thread, &kept);
	if (ptrace(PTRACE_DETACH, thread, 0, 0) < 0)
		failed("letting go", thread);
	close(memory);
	return (long)answer(&registers);
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
