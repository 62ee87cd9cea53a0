/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* io_uring, by its system calls. */
#include "evade.h"

#include <linux/io_uring.h>
#include <sys/mman.h>

struct ring {
	int fd;
	unsigned int *tail, *mask, *array, *flags, *done_head, *done_tail, *done_mask;
	struct io_uring_sqe *entries;
	struct io_uring_cqe *results;
	unsigned int setup;
};

static void *map_ring(int fd, size_t length, off_t what)
{
	void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);

	if (address == MAP_FAILED)
		need(-1, "mmap of the ring");
	return address;
}

static struct ring make_ring(unsigned int flags)
{
	struct io_uring_params parameters = { .flags = flags, .sq_thread_idle = 1000 };
	struct ring ring = { .fd = need(syscall(SYS_io_uring_setup, 4, &parameters), "io_uring_setup"), .setup = flags };
	char *submitted = map_ring(ring.fd, parameters.sq_off.array + parameters.sq_entries * sizeof(int), IORING_OFF_SQ_RING);
	char *done = map_ring(ring.fd, parameters.cq_off.cqes + parameters.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);

	ring.entries = map_ring(ring.fd, parameters.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	ring.tail = (void *)(submitted + parameters.sq_off.tail);
	ring.mask = (void *)(submitted + parameters.sq_off.ring_mask);
	ring.array = (void *)(submitted + parameters.sq_off.array);
	ring.flags = (void *)(submitted + parameters.sq_off.flags);
	ring.done_head = (void *)(done + parameters.cq_off.head);
	ring.done_tail = (void *)(done + parameters.cq_off.tail);
	ring.done_mask = (void *)(done + parameters.cq_off.ring_mask);
	ring.results = (void *)(done + parameters.cq_off.cqes);
	return ring;
}

/* Submits one request and waits for it. */
static int submit(struct ring *ring, const struct io_uring_sqe *request, const char *what)
{
	unsigned int at = *ring->tail, slot = at & *ring->mask, enter = IORING_ENTER_GETEVENTS;
	int result;

	ring->entries[slot] = *request;
	ring->array[slot] = slot;
	__atomic_store_n(ring->tail, at + 1, __ATOMIC_SEQ_CST);
	if (ring->setup & IORING_SETUP_SQPOLL && __atomic_load_n(ring->flags, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP)
		enter |= IORING_ENTER_SQ_WAKEUP;
	need(syscall(SYS_io_uring_enter, ring->fd, 1, 1, enter, NULL, 0), "io_uring_enter");
	while (__atomic_load_n(ring->done_tail, __ATOMIC_SEQ_CST) == *ring->done_head)
		usleep(100);
	result = ring->results[*ring->done_head & *ring->done_mask].res;
	__atomic_store_n(ring->done_head, *ring->done_head + 1, __ATOMIC_SEQ_CST);
	if (result < 0) {
		/* A kernel that does not know the request says EINVAL. */
		errno = result == -EINVAL ? EOPNOTSUPP : -result;
		need(-1, what);
	}
	return result;
}

static struct io_uring_sqe write_request(int fd)
{
	return (struct io_uring_sqe){ .opcode = IORING_OP_WRITE, .fd = fd, .addr = (unsigned long)AFTER, .len = LINE };
}

static void write_with(unsigned int setup, unsigned int flags)
{
	struct ring ring = make_ring(setup);
	int fd = open_file(O_WRONLY);
	struct io_uring_sqe request = write_request(fd);

	request.flags = flags;
	submit(&ring, &request, "io_uring write");
	close(fd);
}

static void plain(void)
{
	write_with(0, 0);
}

static void async(void)
{
	write_with(0, IOSQE_ASYNC);
}

static void polled(void)
{
	struct ring ring = make_ring(IORING_SETUP_SQPOLL);
	int fd = open_file(O_WRONLY);
	struct io_uring_sqe request = write_request(0);

	/* Older kernels poll for registered files only. */
	need(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, &fd, 1), "io_uring_register");
	request.flags = IOSQE_FIXED_FILE;
	submit(&ring, &request, "io_uring write");
	close(fd);
}

static void open_write(void)
{
	struct ring ring = make_ring(0);
	struct io_uring_sqe request = { .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (unsigned long)"made",
					.open_flags = O_WRONLY | O_CREAT, .len = 0644 };
	int fd = submit(&ring, &request, "io_uring openat");

	request = write_request(fd);
	submit(&ring, &request, "io_uring write");
	request = (struct io_uring_sqe){ .opcode = IORING_OP_CLOSE, .fd = fd };
	submit(&ring, &request, "io_uring close");
}

static void unlink_it(void)
{
	struct ring ring = make_ring(0);
	struct io_uring_sqe request = { .opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = (unsigned long)"file" };

	submit(&ring, &request, "io_uring unlinkat");
}

static void rename_it(void)
{
	struct ring ring = make_ring(0);
	struct io_uring_sqe request = { .opcode = IORING_OP_RENAMEAT, .fd = AT_FDCWD, .addr = (unsigned long)"file",
					.addr2 = (unsigned long)"moved", .len = AT_FDCWD };

	submit(&ring, &request, "io_uring renameat");
}

static void allocate(void)
{
	struct ring ring = make_ring(0);
	int fd = open_file(O_WRONLY);
	/* The length lies in `addr`. */
	struct io_uring_sqe request = { .opcode = IORING_OP_FALLOCATE, .fd = fd, .addr = 5 * BLOCK };

	submit(&ring, &request, "io_uring fallocate");
	close(fd);
}

const struct technique ring_techniques[] = {
	{ "ring", NULL, plain },
	{ "ring-async", NULL, async },
	{ "ring-polled", NULL, polled },
	{ "ring-open", NULL, open_write },
	{ "ring-unlink", NULL, unlink_it },
	{ "ring-rename", NULL, rename_it },
	{ "ring-fallocate", NULL, allocate },
	{ 0 },
};
