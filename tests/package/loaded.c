// Prints the names of the BPF programs that are loaded, of all whose names begin with PREFIX, pinned or not:
//   loaded PREFIX
// Exit status: 0 if it could look · 2 if not.
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(enum bpf_cmd command, union bpf_attr *attributes)
{
	return (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static int failed(const char *what)
{
	fprintf(stderr, "loaded: %s: %s\n", what, strerror(errno));
	return 2;
}

int main(int count, char **arguments)
{
	union bpf_attr next = {0};

	if (count != 2) {
		fprintf(stderr, "usage: loaded PREFIX\n");
		return 2;
	}
	while (bpf(BPF_PROG_GET_NEXT_ID, &next) == 0) {
		struct bpf_prog_info program = {0};
		union bpf_attr of = {.prog_id = next.next_id};
		int descriptor = bpf(BPF_PROG_GET_FD_BY_ID, &of);

		next.start_id = next.next_id;
		// Unloaded since.
		if (descriptor < 0 && errno == ENOENT)
			continue;
		if (descriptor < 0)
			return failed("a program");
		union bpf_attr about = {.info = {.bpf_fd = (uint32_t)descriptor,
						 .info_len = sizeof(program),
						 .info = (uint64_t)(uintptr_t)&program}};
		if (bpf(BPF_OBJ_GET_INFO_BY_FD, &about) != 0)
			return failed("what a program is");
		close(descriptor);
		if (strncmp(program.name, arguments[1], strlen(arguments[1])) == 0)
			printf("%s\n", program.name);
	}
	return errno == ENOENT ? 0 : failed("the programs");
}
