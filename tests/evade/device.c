/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Content, from below: through block devices. */
#include "evade.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

static char device[32];

/* A loop device over this file, which goes away with its last user. */
static int attach(const char *path)
{
	struct loop_info64 info = { .lo_flags = LO_FLAGS_AUTOCLEAR };
	int control = open("/dev/loop-control", O_RDWR), number, loop, file;

	if (control < 0)
		cannot("there are no loop devices here");
	number = need(ioctl(control, LOOP_CTL_GET_FREE), "LOOP_CTL_GET_FREE");
	snprintf(device, sizeof(device), "/dev/loop%d", number);
	loop = open(device, O_RDWR);
	if (loop < 0)
		cannot("a loop device cannot be opened");
	file = need(open(path, O_RDWR), "open");
	need(ioctl(loop, LOOP_SET_FD, file), "LOOP_SET_FD");
	need(ioctl(loop, LOOP_SET_STATUS64, &info), "LOOP_SET_STATUS64");
	close(file);
	close(control);
	return loop;
}

static int loop;

static void attach_file(void)
{
	loop = attach("file");
}

static void write_through_loop(void)
{
	overwrite(loop);
	need(fsync(loop), "fsync");
}

static void write_and_detach(void)
{
	attach_file();
	write_through_loop();
	close(loop);
}

/* A file system of our own in a file, mounted in the watched directory. */
static void mount_image(void)
{
	char command[4 * BLOCK];

	snprintf(command, sizeof(command),
		 "truncate -s 8M '%s' && mkfs.ext4 -q '%s' >&2", beside("image"), beside("image"));
	if (system(command))
		cannot("mkfs.ext4 is not here");
	loop = attach(beside("image"));
	need(mkdir("disk", 0755), "mkdir");
	need(mount(device, "disk", "ext4", 0, NULL), "mount");
	copy_text("file", "disk/file");
	sync();
}

static off_t place(int fd)
{
	struct {
		struct fiemap map;
		struct fiemap_extent extent;
	} it = { .map = { .fm_length = BLOCK, .fm_extent_count = 1, .fm_flags = FIEMAP_FLAG_SYNC } };

	need(ioctl(fd, FS_IOC_FIEMAP, &it), "FS_IOC_FIEMAP");
	if (!it.map.fm_mapped_extents)
		cannot("the file has no place on the device");
	return it.extent.fe_physical;
}

static void write_below(void)
{
	int fd = need(open("disk/file", O_RDONLY), "open");

	need(pwrite(loop, AFTER, LINE, place(fd)), "pwrite");
	need(fsync(loop), "fsync");
	/* Readers see what the cache holds until it is dropped. */
	need(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), "fadvise");
	close(fd);
}

static void unmount_image(void)
{
	umount2("disk", MNT_DETACH);
	close(loop);
}

const struct technique device_techniques[] = {
	{ "loop", NULL, write_and_detach },
	{ "loop-attached", attach_file, write_through_loop },
	{ "below", mount_image, write_below, unmount_image },
	{ 0 },
};
