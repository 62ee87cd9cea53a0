/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Content, through a writable shared mapping. */
#include "evade.h"

#include <sys/mman.h>
#include <sys/uio.h>

static char *mapped;

static char *map(int protection, int *fd)
{
	void *address;

	*fd = open_file(O_RDWR);
	address = mmap(NULL, BLOCK, protection, MAP_SHARED, *fd, 0);
	if (address == MAP_FAILED)
		need(-1, "mmap");
	return address;
}

static void store(void)
{
	memcpy(mapped, AFTER, LINE);
}

static void store_and_sync(void)
{
	int fd;

	mapped = map(PROT_READ | PROT_WRITE, &fd);
	store();
	need(msync(mapped, BLOCK, MS_SYNC), "msync");
	munmap(mapped, BLOCK);
	close(fd);
}

static void store_and_unmap(void)
{
	int fd;

	mapped = map(PROT_READ | PROT_WRITE, &fd);
	store();
	munmap(mapped, BLOCK);
	close(fd);
}

static void map_and_close(void)
{
	int fd;

	mapped = map(PROT_READ | PROT_WRITE, &fd);
	close(fd);
}

static void store_unmap_after_close(void)
{
	map_and_close();
	store();
	munmap(mapped, BLOCK);
}

static void store_and_exit(void)
{
	map_and_close();
	store();
}

static void by_exit(void)
{
	in_child(store_and_exit);
}

static void map_store_and_keep(void)
{
	map_and_close();
	store();
}

static void map_keep_open_and_store(void)
{
	int fd;

	mapped = map(PROT_READ | PROT_WRITE, &fd);
	store();
}

static void protect_and_store(void)
{
	int fd;

	mapped = map(PROT_READ, &fd);
	close(fd);
	need(mprotect(mapped, BLOCK, PROT_READ | PROT_WRITE), "mprotect");
	store();
}

static void dirty_and_wait(void)
{
	map_and_close();
	memcpy(mapped, "first!\n", LINE);
	sleep(2);
}

/* The mapping is the child's, and the bytes are ours. */
static void hold_in_child(void)
{
	int ends[2];
	char byte;

	need(pipe(ends), "pipe");
	map_and_close();
	holder = need(fork(), "fork");
	if (!holder) {
		close(ends[1]);
		while (read(ends[0], &byte, 1) == 1)
			;
		_exit(0);
	}
	munmap(mapped, BLOCK);
}

static void write_into_child(void)
{
	struct iovec from = { AFTER, LINE }, into = { mapped, LINE };

	need(process_vm_writev(holder, &from, 1, &into, 1, 0), "process_vm_writev");
}

static void store_through_memory_file(void)
{
	int fd;

	map_and_close();
	fd = need(open("/proc/self/mem", O_WRONLY), "open");
	need(pwrite(fd, AFTER, LINE, (off_t)(unsigned long)mapped), "pwrite");
	close(fd);
}

const struct technique mapping_techniques[] = {
	{ "map-sync", NULL, store_and_sync },
	{ "map-unmap", NULL, store_and_unmap },
	{ "map-close-store-unmap", NULL, store_unmap_after_close },
	{ "map-exit", NULL, by_exit },
	{ "map-keep", NULL, map_store_and_keep },
	{ "map-keep-open", NULL, map_keep_open_and_store },
	{ "map-protect", NULL, protect_and_store },
	{ "map-dirty", dirty_and_wait, store },
	{ "map-earlier", map_and_close, store },
	{ "map-of-another", hold_in_child, write_into_child },
	{ "map-memory-file", NULL, store_through_memory_file },
	{ 0 },
};
