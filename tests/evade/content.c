/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Content, through a descriptor. */
#include "evade.h"

#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static void *block_of(char byte)
{
	void *block;

	if (posix_memalign(&block, BLOCK, BLOCK))
		cannot("no memory");
	memset(block, byte, BLOCK);
	((char *)block)[BLOCK - 1] = '\n';
	return block;
}

static void by_write(void)
{
	int fd = open_file(O_WRONLY);

	need(write(fd, AFTER, LINE), "write");
	close(fd);
}

static void by_pwrite(void)
{
	overwrite_path("file");
}

static const struct iovec halves[] = { { AFTER, 3 }, { AFTER + 3, LINE - 3 } };

static void by_writev(void)
{
	int fd = open_file(O_WRONLY);

	need(writev(fd, halves, 2), "writev");
	close(fd);
}

static void by_pwritev2(void)
{
	int fd = open_file(O_WRONLY);

	need(pwritev2(fd, halves, 2, 0, RWF_DSYNC), "pwritev2");
	close(fd);
}

static void by_append(void)
{
	int fd = open_file(O_WRONLY | O_APPEND);

	need(write(fd, AFTER, LINE), "write");
	close(fd);
}

static void by_single_bytes(void)
{
	int fd = open_file(O_WRONLY);
	unsigned int i;

	for (i = 0; i < LINE; i++)
		need(pwrite(fd, AFTER + i, 1, i), "pwrite");
	close(fd);
}

static void by_open_truncate(void)
{
	close(open_file(O_WRONLY | O_TRUNC));
}

static void by_open_truncate_readonly(void)
{
	close(open_file(O_RDONLY | O_TRUNC));
}

static void by_truncate(void)
{
	need(truncate("file", 100), "truncate");
}

static void by_truncate_longer(void)
{
	need(truncate("file", 5 * BLOCK), "truncate");
}

static void by_ftruncate(void)
{
	int fd = open_file(O_WRONLY);

	need(ftruncate(fd, 100), "ftruncate");
	close(fd);
}

static void allocate(int mode, off_t from, off_t length)
{
	int fd = open_file(O_RDWR);

	need(fallocate(fd, mode, from, length), "fallocate");
	close(fd);
}

static void by_fallocate(void)
{
	allocate(0, 0, 5 * BLOCK);
}

static void by_punch(void)
{
	allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BLOCK);
}

static void by_zero_range(void)
{
	allocate(FALLOC_FL_ZERO_RANGE, 0, BLOCK);
}

static void by_collapse(void)
{
	allocate(FALLOC_FL_COLLAPSE_RANGE, 0, BLOCK);
}

static void by_insert(void)
{
	allocate(FALLOC_FL_INSERT_RANGE, BLOCK, BLOCK);
}

static int source(void)
{
	int fd;

	make(beside("source"), AFTER);
	fd = need(open(beside("source"), O_RDONLY), "open");
	return fd;
}

static void by_sendfile(void)
{
	int from = source(), fd = open_file(O_WRONLY);

	need(sendfile(fd, from, NULL, LINE), "sendfile");
	close(fd);
}

static void by_splice(void)
{
	int ends[2], fd = open_file(O_WRONLY);

	need(pipe(ends), "pipe");
	need(write(ends[1], AFTER, LINE), "write");
	need(splice(ends[0], NULL, fd, NULL, LINE, 0), "splice");
	close(fd);
}

static void by_vmsplice(void)
{
	int ends[2], fd = open_file(O_WRONLY);

	need(pipe(ends), "pipe");
	need(vmsplice(ends[1], halves, 2, 0), "vmsplice");
	need(splice(ends[0], NULL, fd, NULL, LINE, 0), "splice");
	close(fd);
}

static void by_copy_file_range(void)
{
	int from = source(), fd = open_file(O_WRONLY);

	need(copy_file_range(from, NULL, fd, NULL, LINE, 0), "copy_file_range");
	close(fd);
}

/* Whole blocks, which file systems with shared extents do not copy. */
static int source_of_blocks(void)
{
	int fd = need(open(beside("blocks"), O_RDWR | O_CREAT | O_TRUNC, 0644), "open");
	void *block = block_of('b');
	int i;

	for (i = 0; i < 3; i++)
		need(write(fd, block, BLOCK), "write");
	need(fsync(fd), "fsync");
	need(lseek(fd, 0, SEEK_SET), "lseek");
	return fd;
}

static void by_copy_file_range_of_blocks(void)
{
	int from = source_of_blocks(), fd = open_file(O_WRONLY);

	need(copy_file_range(from, NULL, fd, NULL, BLOCK, 0), "copy_file_range");
	close(fd);
}

static void by_clone(void)
{
	int from = source_of_blocks(), fd = open_file(O_WRONLY);

	need(ioctl(fd, FICLONE, from), "FICLONE");
	close(fd);
}

static void by_clone_range(void)
{
	struct file_clone_range range = { .src_fd = source_of_blocks(), .src_length = BLOCK };
	int fd = open_file(O_WRONLY);

	need(ioctl(fd, FICLONERANGE, &range), "FICLONERANGE");
	close(fd);
}

static void by_aio(void)
{
	aio_context_t context = 0;
	struct iocb request = { 0 }, *requests[] = { &request };
	struct io_event event;
	int fd = open_file(O_WRONLY);

	need(syscall(SYS_io_setup, 1, &context), "io_setup");
	request.aio_fildes = fd;
	request.aio_lio_opcode = IOCB_CMD_PWRITE;
	request.aio_buf = (unsigned long)AFTER;
	request.aio_nbytes = LINE;
	need(syscall(SYS_io_submit, context, 1, requests), "io_submit");
	need(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), "io_getevents");
	if (event.res != (long)LINE) {
		errno = -event.res;
		need(-1, "aio write");
	}
	syscall(SYS_io_destroy, context);
	close(fd);
}

static int open_direct(void)
{
	int fd = open("file", O_WRONLY | O_DIRECT);

	if (fd < 0 && errno == EINVAL)
		cannot("O_DIRECT: this file system has none");
	return need(fd, "open");
}

static void by_direct(void)
{
	int fd = open_direct();

	need(pwrite(fd, block_of('d'), BLOCK, 0), "pwrite");
	close(fd);
}

static void by_aio_direct(void)
{
	aio_context_t context = 0;
	struct iocb request = { 0 }, *requests[] = { &request };
	struct io_event event;
	int fd = open_direct();

	need(syscall(SYS_io_setup, 1, &context), "io_setup");
	request.aio_fildes = fd;
	request.aio_lio_opcode = IOCB_CMD_PWRITE;
	request.aio_buf = (unsigned long)block_of('a');
	request.aio_nbytes = BLOCK;
	need(syscall(SYS_io_submit, context, 1, requests), "io_submit");
	need(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), "io_getevents");
	syscall(SYS_io_destroy, context);
	close(fd);
}

/* Long enough that what was done is read before it is undone. */
static void change_and_wait(void)
{
	overwrite_path("file");
	sleep(2);
}

static void revert(void)
{
	int fd = open_file(O_WRONLY);

	need(pwrite(fd, BEFORE, LINE, 0), "pwrite");
	close(fd);
}

static void change_and_revert(void)
{
	int fd = open_file(O_WRONLY);

	overwrite(fd);
	need(pwrite(fd, BEFORE, LINE, 0), "pwrite");
	close(fd);
}

const struct technique content_techniques[] = {
	{ "write", NULL, by_write },
	{ "pwrite", NULL, by_pwrite },
	{ "writev", NULL, by_writev },
	{ "pwritev2", NULL, by_pwritev2 },
	{ "append", NULL, by_append },
	{ "single-bytes", NULL, by_single_bytes },
	{ "open-truncate", NULL, by_open_truncate },
	{ "open-truncate-readonly", NULL, by_open_truncate_readonly },
	{ "truncate", NULL, by_truncate },
	{ "truncate-longer", NULL, by_truncate_longer },
	{ "ftruncate", NULL, by_ftruncate },
	{ "fallocate", NULL, by_fallocate },
	{ "punch", NULL, by_punch },
	{ "zero-range", NULL, by_zero_range },
	{ "collapse", NULL, by_collapse },
	{ "insert", NULL, by_insert },
	{ "sendfile", NULL, by_sendfile },
	{ "splice", NULL, by_splice },
	{ "vmsplice", NULL, by_vmsplice },
	{ "copy-file-range", NULL, by_copy_file_range },
	{ "copy-file-range-blocks", NULL, by_copy_file_range_of_blocks },
	{ "clone", NULL, by_clone },
	{ "clone-range", NULL, by_clone_range },
	{ "aio", NULL, by_aio },
	{ "direct", NULL, by_direct },
	{ "aio-direct", NULL, by_aio_direct },
	{ "revert-later", change_and_wait, revert },
	{ "revert-at-once", NULL, change_and_revert },
	{ 0 },
};
