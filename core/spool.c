/* SPDX-License-Identifier: Apache-2.0 */
#include "core/spool.h"
#include "core/error.h"
#include "core/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_MIN_BYTES 256
#define HASH_READ_BYTES (1024 * 1024)

struct LakeSpool {
    gatomicrefcount references;
    gboolean is_read_only; /* constant */
    GMutex lock;           /* guards all below but folder */
    int fd;                /* -1 while in memory */
    guint8 *memory;        /* of its capacity, the first size_bytes are content */
    gsize capacity;
    gint64 size_bytes;
    char folder[]; /* here, so that a small spool is two allocations */
};

static LakeSpool *
new_spool(const char *folder, int fd, gint64 size_bytes)
{
    gsize length = strlen(folder) + 1;
    LakeSpool *spool = g_malloc0(sizeof(LakeSpool) + length);

    g_atomic_ref_count_init(&spool->references);
    g_mutex_init(&spool->lock);
    spool->fd = fd;
    spool->size_bytes = size_bytes;
    memcpy(spool->folder, folder, length);
    return spool;
}

LakeSpool *
lake_spool_new(const char *folder)
{
    return new_spool(folder, -1, 0);
}

LakeSpool *
lake_spool_new_from_fd(int fd, gint64 size_bytes)
{
    LakeSpool *spool = new_spool("", fd, size_bytes);

    spool->is_read_only = TRUE;
    return spool;
}

LakeSpool *
lake_spool_ref(LakeSpool *spool)
{
    g_atomic_ref_count_inc(&spool->references);
    return spool;
}

void
lake_spool_unref(LakeSpool *spool)
{
    if (!spool || !g_atomic_ref_count_dec(&spool->references))
        return;

    if (spool->fd >= 0)
        close(spool->fd);
    g_free(spool->memory);
    g_mutex_clear(&spool->lock);
    g_free(spool);
}

static void
set_system_error(const LakeSpool *spool, const char *act, int saved_errno, GError **error)
{
    LakeErrorCode code = lake_error_code_from_errno(saved_errno);

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, code, "could not %s in %s: %s", act,
        *spool->folder ? spool->folder : "an open file", g_strerror(saved_errno));
    if (error && code == LAKE_ERROR_NO_SPACE)
        lake_error_hint(*error, "Free space there, or choose another folder with state_dir.");
}

static gboolean
check_writable(const LakeSpool *spool, gint64 offset, gsize n_bytes, GError **error)
{
    if (spool->is_read_only) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
            "this file is open for reading only");
        return FALSE;
    }
    if (offset < 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "negative offset or size: %" G_GINT64_FORMAT, offset);
        return FALSE;
    }
    if (n_bytes > (guint64)(G_MAXINT64 - offset)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_TOO_BIG,
            "a file cannot reach beyond %" G_GINT64_FORMAT " bytes", G_MAXINT64);
        return FALSE;
    }
    return TRUE;
}

/* A file that never shows under a name, or shows for an instant where the file system has no
 * O_TMPFILE (NFS, FUSE). */
static int
open_unnamed(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;

    g_autofree char *name = g_build_filename(folder, ".spool-XXXXXX", NULL);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    return fd;
}

/* 0, or errno. */
static int
write_fully(int fd, gint64 offset, const guint8 *data, gsize n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = pwrite(fd, data, n_bytes, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        data += n;
        offset += n;
        n_bytes -= (gsize)n;
    }
    return 0;
}

static gboolean
move_to_file(LakeSpool *spool, GError **error)
{
    int fd = open_unnamed(spool->folder);
    if (fd < 0) {
        set_system_error(spool, "make a staging file", errno, error);
        return FALSE;
    }

    int failed = write_fully(fd, 0, spool->memory, (gsize)spool->size_bytes);
    if (failed) {
        close(fd);
        set_system_error(spool, "write a staging file", failed, error);
        return FALSE;
    }

    spool->fd = fd;
    g_clear_pointer(&spool->memory, g_free);
    spool->capacity = 0;
    return TRUE;
}

/* Room for n_bytes in memory. The first write gets what it asks for, as most files come in one
 * piece; later ones double. */
static void
reserve_memory(LakeSpool *spool, gsize n_bytes)
{
    if (n_bytes <= spool->capacity)
        return;

    gsize wanted = MAX(n_bytes, MAX(spool->capacity * 2, MEMORY_MIN_BYTES));
    spool->capacity = MIN(wanted, LAKE_SPOOL_MEMORY_BYTES);
    spool->memory = g_realloc(spool->memory, spool->capacity);
}

static void
resize_memory(LakeSpool *spool, gint64 size_bytes)
{
    if (size_bytes > spool->size_bytes) {
        reserve_memory(spool, (gsize)size_bytes);
        memset(spool->memory + spool->size_bytes, 0, (gsize)(size_bytes - spool->size_bytes));
    }
    spool->size_bytes = size_bytes;
}

static gboolean
write_to_file(LakeSpool *spool, gint64 offset, const void *data, gsize n_bytes, GError **error)
{
    int failed = write_fully(spool->fd, offset, data, n_bytes);

    if (failed) {
        /* What got through beyond the end must not show up in a later hole. */
        if (ftruncate(spool->fd, spool->size_bytes) < 0)
            g_debug("staging file keeps its tail: %s", g_strerror(errno));
        set_system_error(spool, "write a staging file", failed, error);
        return FALSE;
    }
    spool->size_bytes = MAX(spool->size_bytes, offset + (gint64)n_bytes);
    return TRUE;
}

static gboolean
write_locked(LakeSpool *spool, gint64 offset, const void *data, gsize n_bytes, GError **error)
{
    if (!check_writable(spool, offset, n_bytes, error))
        return FALSE;
    if (n_bytes == 0)
        return TRUE;

    gint64 end = offset + (gint64)n_bytes;
    if (spool->fd < 0 && end > LAKE_SPOOL_MEMORY_BYTES && !move_to_file(spool, error))
        return FALSE;
    if (spool->fd >= 0)
        return write_to_file(spool, offset, data, n_bytes, error);

    reserve_memory(spool, (gsize)end);
    if (offset > spool->size_bytes)
        resize_memory(spool, offset);
    memcpy(spool->memory + offset, data, n_bytes);
    spool->size_bytes = MAX(spool->size_bytes, end);
    return TRUE;
}

gboolean
lake_spool_write(
    LakeSpool *spool, gint64 offset, const void *data, gsize n_bytes, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&spool->lock);

    if (lake_fault("spool-write")) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NO_SPACE,
            "no room to stage: a fault point was hit");
        return FALSE;
    }
    return write_locked(spool, offset, data, n_bytes, error);
}

gboolean
lake_spool_append(LakeSpool *spool, const void *data, gsize n_bytes, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&spool->lock);

    return write_locked(spool, spool->size_bytes, data, n_bytes, error);
}

static gssize
read_file(LakeSpool *spool, gint64 offset, guint8 *data, gsize n_bytes, GError **error)
{
    gsize n_read = 0;

    while (n_read < n_bytes) {
        ssize_t n = pread(spool->fd, data + n_read, n_bytes - n_read, offset + (gint64)n_read);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            set_system_error(spool, "read a staging file", errno, error);
            return -1;
        }
        if (n == 0)
            break;
        n_read += (gsize)n;
    }
    return (gssize)n_read;
}

gssize
lake_spool_read(LakeSpool *spool, gint64 offset, void *data, gsize n_bytes, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&spool->lock);

    if (offset < 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "negative offset: %" G_GINT64_FORMAT, offset);
        return -1;
    }
    if (offset >= spool->size_bytes)
        return 0;

    n_bytes = (gsize)MIN((guint64)n_bytes, (guint64)(spool->size_bytes - offset));
    if (spool->fd >= 0)
        return read_file(spool, offset, data, n_bytes, error);
    memcpy(data, spool->memory + offset, n_bytes);
    return (gssize)n_bytes;
}

gboolean
lake_spool_truncate(LakeSpool *spool, gint64 size_bytes, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&spool->lock);

    if (!check_writable(spool, size_bytes, 0, error))
        return FALSE;
    if (spool->fd < 0 && size_bytes > LAKE_SPOOL_MEMORY_BYTES && !move_to_file(spool, error))
        return FALSE;

    if (spool->fd < 0) {
        resize_memory(spool, size_bytes);
        return TRUE;
    }
    while (ftruncate(spool->fd, size_bytes) < 0)
        if (errno != EINTR) {
            set_system_error(spool, "resize a staging file", errno, error);
            return FALSE;
        }
    spool->size_bytes = size_bytes;
    return TRUE;
}

gint64
lake_spool_size(LakeSpool *spool)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&spool->lock);

    return spool->size_bytes;
}

int
lake_spool_fd(LakeSpool *spool)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&spool->lock);

    return spool->fd;
}

/* Looked up once: OpenSSL 3 searches its providers at each EVP_sha256. */
static const EVP_MD *
sha256(void)
{
    static gsize found;

    if (g_once_init_enter(&found)) {
        EVP_MD *algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
        g_once_init_leave(&found, GPOINTER_TO_SIZE(algorithm ? algorithm : EVP_sha256()));
    }
    return GSIZE_TO_POINTER(found);
}

static char *
to_hexadecimal(const guint8 *bytes, guint n_bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *text = g_malloc(2 * n_bytes + 1);

    for (guint i = 0; i < n_bytes; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * n_bytes] = '\0';
    return text;
}

static gboolean
check_digest(gboolean is_good, GError **error)
{
    if (!is_good)
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "libcrypto could not compute a SHA-256");
    return is_good;
}

static gboolean
hash_file(LakeSpool *spool, EVP_MD_CTX *context, GCancellable *cancellable, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(HASH_READ_BYTES);
    gint64 offset = 0;

    for (;;) {
        if (g_cancellable_is_cancelled(cancellable)) {
            lake_error_set(
                error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
        gssize n = lake_spool_read(spool, offset, buffer, HASH_READ_BYTES, error);
        if (n <= 0)
            return n == 0;
        if (!check_digest(EVP_DigestUpdate(context, buffer, (gsize)n), error))
            return FALSE;
        offset += n;
    }
}

/* FALSE when it is not in memory. */
static gboolean
hash_memory(LakeSpool *spool, guint8 *digest, guint *ret_n_bytes, gboolean *ret_is_good)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&spool->lock);

    if (spool->fd >= 0)
        return FALSE;
    *ret_is_good = EVP_Digest(spool->memory ? spool->memory : (const guint8 *)"",
        (gsize)spool->size_bytes, digest, ret_n_bytes, sha256(), NULL);
    return TRUE;
}

char *
lake_spool_hash(LakeSpool *spool, GCancellable *cancellable, GError **error)
{
    guint8 digest[EVP_MAX_MD_SIZE];
    guint n_bytes = 0;
    gboolean is_good = FALSE;

    if (hash_memory(spool, digest, &n_bytes, &is_good))
        return check_digest(is_good, error) ? to_hexadecimal(digest, n_bytes) : NULL;

    EVP_MD_CTX *context = EVP_MD_CTX_new();
    is_good = check_digest(context && EVP_DigestInit_ex(context, sha256(), NULL), error) &&
              hash_file(spool, context, cancellable, error) &&
              check_digest(EVP_DigestFinal_ex(context, digest, &n_bytes), error);
    EVP_MD_CTX_free(context);
    return is_good ? to_hexadecimal(digest, n_bytes) : NULL;
}
