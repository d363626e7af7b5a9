/* SPDX-License-Identifier: Apache-2.0 */

/* A bare pass-through file system: what any FUSE mount costs, to measure ours against.
 *
 *   bench-passthrough SOURCE MOUNTPOINT [libfuse options]
 *
 * As lean as libfuse allows without giving up ordinary tools: the high-level API over relative
 * paths below one folder descriptor, one handle per open file, 1 s of entry and attribute
 * caching, no write-back cache, direct I/O for handles that write. Stays in the foreground with
 * -f.
 */

#define FUSE_USE_VERSION 34

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int source_fd;

/* libfuse gives "/a/b"; the calls with *at want "a/b", and "." for the top. */
static const char *
below(const char *path)
{
    return path[1] ? path + 1 : ".";
}

static int
answer(int result)
{
    return result < 0 ? -errno : 0;
}

static void *
pass_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    connection->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
    connection->max_write = 1 << 20;
    config->use_ino = 1;
    config->nullpath_ok = 1;
    config->entry_timeout = 1;
    config->attr_timeout = 1;
    config->negative_timeout = 0;
    return NULL;
}

static int
pass_getattr(const char *path, struct stat *ret_stat, struct fuse_file_info *file)
{
    int result = file ? fstat((int)file->fh, ret_stat)
                      : fstatat(source_fd, below(path), ret_stat, AT_SYMLINK_NOFOLLOW);

    ret_stat->st_blksize = 1 << 20; /* so that cp sends requests of 1 MiB, as ours has it */
    return answer(result);
}

static int
pass_opendir(const char *path, struct fuse_file_info *file)
{
    int fd = openat(source_fd, below(path), O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return -errno;

    DIR *folder = fdopendir(fd);
    if (!folder) {
        int saved_errno = errno;
        close(fd);
        return -saved_errno;
    }
    file->fh = (uint64_t)(uintptr_t)folder;
    return 0;
}

static int
pass_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
    struct fuse_file_info *file, enum fuse_readdir_flags flags)
{
    DIR *folder = (DIR *)(uintptr_t)file->fh;
    int is_plus = (flags & FUSE_READDIR_PLUS) != 0;

    if (offset)
        seekdir(folder, offset);
    else
        rewinddir(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat found = {.st_ino = entry->d_ino, .st_mode = (mode_t)entry->d_type << 12};
        int filled =
            is_plus && fstatat(dirfd(folder), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0;
        if (fill(buffer, entry->d_name, &found, telldir(folder),
                filled ? FUSE_FILL_DIR_PLUS : 0))
            break;
    }
    return 0;
}

static int
pass_releasedir(const char *path, struct fuse_file_info *file)
{
    closedir((DIR *)(uintptr_t)file->fh);
    return 0;
}

static int
keep_handle(int fd, struct fuse_file_info *file)
{
    if (fd < 0)
        return -errno;
    file->fh = (uint64_t)fd;
    file->direct_io = (file->flags & O_ACCMODE) != O_RDONLY;
    return 0;
}

static int
pass_create(const char *path, mode_t mode, struct fuse_file_info *file)
{
    return keep_handle(openat(source_fd, below(path), file->flags | O_CREAT, mode), file);
}

static int
pass_open(const char *path, struct fuse_file_info *file)
{
    return keep_handle(openat(source_fd, below(path), file->flags), file);
}

/* Hands over the descriptor: libfuse splices where it can. */
static int
pass_read_buf(const char *path, struct fuse_bufvec **ret_buffer, size_t size, off_t offset,
    struct fuse_file_info *file)
{
    struct fuse_bufvec *buffer = malloc(sizeof *buffer);
    if (!buffer)
        return -ENOMEM;

    *buffer = FUSE_BUFVEC_INIT(size);
    buffer->buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    buffer->buf[0].fd = (int)file->fh;
    buffer->buf[0].pos = offset;
    *ret_buffer = buffer;
    return 0;
}

static int
pass_write_buf(
    const char *path, struct fuse_bufvec *buffer, off_t offset, struct fuse_file_info *file)
{
    struct fuse_bufvec into = FUSE_BUFVEC_INIT(fuse_buf_size(buffer));

    into.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
    into.buf[0].fd = (int)file->fh;
    into.buf[0].pos = offset;
    return (int)fuse_buf_copy(&into, buffer, FUSE_BUF_SPLICE_NONBLOCK);
}

static int
pass_flush(const char *path, struct fuse_file_info *file)
{
    /* What close() of a local file would say, without closing ours. */
    return answer(close(dup((int)file->fh)));
}

static int
pass_release(const char *path, struct fuse_file_info *file)
{
    close((int)file->fh);
    return 0;
}

static int
pass_fsync(const char *path, int is_data_only, struct fuse_file_info *file)
{
    return answer(is_data_only ? fdatasync((int)file->fh) : fsync((int)file->fh));
}

static int
pass_mkdir(const char *path, mode_t mode)
{
    return answer(mkdirat(source_fd, below(path), mode));
}

static int
pass_unlink(const char *path)
{
    return answer(unlinkat(source_fd, below(path), 0));
}

static int
pass_rmdir(const char *path)
{
    return answer(unlinkat(source_fd, below(path), AT_REMOVEDIR));
}

static int
pass_rename(const char *path, const char *new_path, unsigned flags)
{
    return answer(renameat2(source_fd, below(path), source_fd, below(new_path), flags));
}

static int
pass_truncate(const char *path, off_t size, struct fuse_file_info *file)
{
    if (file)
        return answer(ftruncate((int)file->fh, size));

    int fd = openat(source_fd, below(path), O_WRONLY);
    if (fd < 0)
        return -errno;
    int result = answer(ftruncate(fd, size));
    close(fd);
    return result;
}

static int
pass_chmod(const char *path, mode_t mode, struct fuse_file_info *file)
{
    return answer(
        file ? fchmod((int)file->fh, mode) : fchmodat(source_fd, below(path), mode, 0));
}

static int
pass_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *file)
{
    return answer(file ? fchown((int)file->fh, uid, gid)
                       : fchownat(source_fd, below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int
pass_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *file)
{
    return answer(file ? futimens((int)file->fh, times)
                       : utimensat(source_fd, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int
pass_statfs(const char *path, struct statvfs *ret_statvfs)
{
    return answer(fstatvfs(source_fd, ret_statvfs));
}

static const struct fuse_operations operations = {
    .init = pass_init,
    .getattr = pass_getattr,
    .opendir = pass_opendir,
    .readdir = pass_readdir,
    .releasedir = pass_releasedir,
    .create = pass_create,
    .open = pass_open,
    .read_buf = pass_read_buf,
    .write_buf = pass_write_buf,
    .flush = pass_flush,
    .release = pass_release,
    .fsync = pass_fsync,
    .mkdir = pass_mkdir,
    .unlink = pass_unlink,
    .rmdir = pass_rmdir,
    .rename = pass_rename,
    .truncate = pass_truncate,
    .chmod = pass_chmod,
    .chown = pass_chown,
    .utimens = pass_utimens,
    .statfs = pass_statfs,
};

int
main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s SOURCE MOUNTPOINT [-f] [-o OPTIONS]\n", argv[0]);
        return 2;
    }
    source_fd = open(argv[1], O_PATH | O_DIRECTORY);
    if (source_fd < 0) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    umask(0);

    /* libfuse 3.14 complains of its own default unless this is named. */
    struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
    int failed = fuse_opt_add_arg(&arguments, argv[0]) ||
                 fuse_opt_add_arg(&arguments, "-omax_idle_threads=10");
    for (int i = 2; i < argc; i++)
        failed |= fuse_opt_add_arg(&arguments, argv[i]);
    if (!failed)
        failed = fuse_main(arguments.argc, arguments.argv, &operations, NULL);
    fuse_opt_free_args(&arguments);
    return failed;
}
