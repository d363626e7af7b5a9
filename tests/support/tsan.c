/* SPDX-License-Identifier: Apache-2.0 */

/* tests/support/tsan.c: tells ThreadSanitizer of GLib's locks.
 *
 * GLib's mutexes, conditions, once-guards and reference counts are futexes and atomics in a
 * library that is not instrumented: the sanitizer sees two threads touch the same memory and
 * nothing between them. Here stand functions of the same names, which the test programs' own
 * calls and those of libraries reach first; each says what happens and calls the real one.
 * Threads, GRecMutex and GRWLock need none of it: they are pthreads', which the sanitizer
 * knows. */

typedef int tsan_support_is_not_empty; /* a unit without any declaration is not ISO C */

#ifdef __SANITIZE_THREAD__

#include <dlfcn.h>
#include <glib.h>
#include <sanitizer/tsan_interface.h>
#include <string.h>

/* Macros around the functions of these names. */
#undef g_once_init_enter
#undef g_once_init_leave
#undef g_atomic_ref_count_dec

typedef struct {
    void (*mutex_lock)(GMutex *mutex);
    gboolean (*mutex_trylock)(GMutex *mutex);
    void (*mutex_unlock)(GMutex *mutex);
    void (*mutex_clear)(GMutex *mutex);
    void (*cond_wait)(GCond *cond, GMutex *mutex);
    gboolean (*cond_wait_until)(GCond *cond, GMutex *mutex, gint64 end_us);
    gboolean (*once_init_enter)(volatile void *location);
    void (*once_init_leave)(volatile void *location, gsize result);
    gboolean (*atomic_ref_count_dec)(gatomicrefcount *count);
    void (*atomic_rc_box_release_full)(gpointer box, GDestroyNotify clear);
    void (*bytes_unref)(GBytes *bytes);
    GThreadPool *(*thread_pool_new)(
        GFunc work, gpointer user_data, gint n_threads, gboolean is_exclusive, GError **error);
    gboolean (*thread_pool_push)(GThreadPool *pool, gpointer task, GError **error);
    void (*thread_pool_free)(GThreadPool *pool, gboolean is_immediate, gboolean waits);
} Functions;

/* ISO C has no cast from dlsym's object pointer to a function's. */
static void
find(void *ret_function, const char *name)
{
    void *symbol = dlsym(RTLD_NEXT, name);

    if (!symbol)
        __builtin_trap();
    memcpy(ret_function, &symbol, sizeof symbol);
}

/* GLib's own. The first call comes before main, from the start of libgobject, when there is one
 * thread only; the constructor is for programs without it. */
__attribute__((constructor)) static const Functions *
real(void)
{
    static Functions functions;

    if (functions.atomic_ref_count_dec)
        return &functions;

    find(&functions.mutex_lock, "g_mutex_lock");
    find(&functions.mutex_trylock, "g_mutex_trylock");
    find(&functions.mutex_unlock, "g_mutex_unlock");
    find(&functions.mutex_clear, "g_mutex_clear");
    find(&functions.cond_wait, "g_cond_wait");
    find(&functions.cond_wait_until, "g_cond_wait_until");
    find(&functions.once_init_enter, "g_once_init_enter");
    find(&functions.once_init_leave, "g_once_init_leave");
    find(&functions.atomic_rc_box_release_full, "g_atomic_rc_box_release_full");
    find(&functions.bytes_unref, "g_bytes_unref");
    find(&functions.thread_pool_new, "g_thread_pool_new");
    find(&functions.thread_pool_push, "g_thread_pool_push");
    find(&functions.thread_pool_free, "g_thread_pool_free");
    find(&functions.atomic_ref_count_dec, "g_atomic_ref_count_dec");
    return &functions;
}

void
g_mutex_lock(GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, 0);
    real()->mutex_lock(mutex);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

gboolean
g_mutex_trylock(GMutex *mutex)
{
    __tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
    gboolean is_locked = real()->mutex_trylock(mutex);
    __tsan_mutex_post_lock(
        mutex, __tsan_mutex_try_lock | (is_locked ? 0 : __tsan_mutex_try_lock_failed), 0);
    return is_locked;
}

void
g_mutex_unlock(GMutex *mutex)
{
    __tsan_mutex_pre_unlock(mutex, 0);
    real()->mutex_unlock(mutex);
    __tsan_mutex_post_unlock(mutex, 0);
}

void
g_mutex_clear(GMutex *mutex)
{
    real()->mutex_clear(mutex);
    __tsan_mutex_destroy(mutex, 0);
}

/* A wait gives the mutex away and takes it again: what one woke up for is ordered by that. */
void
g_cond_wait(GCond *cond, GMutex *mutex)
{
    __tsan_mutex_pre_unlock(mutex, 0);
    __tsan_mutex_post_unlock(mutex, 0);
    real()->cond_wait(cond, mutex);
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
}

gboolean
g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end_us)
{
    __tsan_mutex_pre_unlock(mutex, 0);
    __tsan_mutex_post_unlock(mutex, 0);
    gboolean is_in_time = real()->cond_wait_until(cond, mutex, end_us);
    __tsan_mutex_pre_lock(mutex, 0);
    __tsan_mutex_post_lock(mutex, 0, 0);
    return is_in_time;
}

gboolean
g_once_init_enter(volatile void *location)
{
    gboolean is_first = real()->once_init_enter(location);

    if (!is_first)
        __tsan_acquire((void *)location);
    return is_first;
}

void
g_once_init_leave(volatile void *location, gsize result)
{
    __tsan_release((void *)location);
    real()->once_init_leave(location, result);
}

/* Whoever drops the last reference has seen all that the others did with theirs. */
gboolean
g_atomic_ref_count_dec(gatomicrefcount *count)
{
    __tsan_release(count);
    gboolean is_last = real()->atomic_ref_count_dec(count);
    if (is_last)
        __tsan_acquire(count);
    return is_last;
}

static _Thread_local GDestroyNotify clear_box;

static void
clear_acquired(gpointer box)
{
    GDestroyNotify clear = clear_box;

    __tsan_acquire(box);
    clear(box);
}

void
g_atomic_rc_box_release_full(gpointer box, GDestroyNotify clear)
{
    __tsan_release(box);
    clear_box = clear;
    real()->atomic_rc_box_release_full(box, clear_acquired);
}

static char bytes_dropped; /* an address to tell the sanitizer */

/* One address for all: a part of other bytes drops its reference to them inside GLib. */
void
g_bytes_unref(GBytes *bytes)
{
    __tsan_release(&bytes_dropped);
    __tsan_acquire(&bytes_dropped);
    real()->bytes_unref(bytes);
}

/* A worker has seen all that came before the push of its task, and who waits for the end of a
 * pool all that workers did. */
typedef struct {
    GFunc work;
    gpointer user_data;
} Pool;

static char done; /* another one */

static void
work_in_order(gpointer task, gpointer user_data)
{
    const Pool *pool = user_data;

    __tsan_acquire(task);
    pool->work(task, pool->user_data);
    __tsan_release(&done);
}

GThreadPool *
g_thread_pool_new(
    GFunc work, gpointer user_data, gint n_threads, gboolean is_exclusive, GError **error)
{
    Pool *pool = g_new(Pool, 1); /* never freed: nothing tells when its last worker has gone */

    *pool = (Pool){work, user_data};
    /* The last worker to leave a pool frees it, even one that has had no task of it. A worker
     * that is left over from an earlier pool would do so with nothing seen between who made the
     * pool and it; a new one was started after the pool was made. */
    g_thread_pool_set_max_unused_threads(0);
    return real()->thread_pool_new(work_in_order, pool, n_threads, is_exclusive, error);
}

gboolean
g_thread_pool_push(GThreadPool *pool, gpointer task, GError **error)
{
    __tsan_release(task);
    return real()->thread_pool_push(pool, task, error);
}

void
g_thread_pool_free(GThreadPool *pool, gboolean is_immediate, gboolean waits)
{
    real()->thread_pool_free(pool, is_immediate, waits);
    if (waits)
        __tsan_acquire(&done);
}

/* The queue of a pool, too, lies behind a mutex inside GLib: its links are allocated by who
 * pushes and freed by a worker. */
const char *__tsan_default_suppressions(void);

const char *
__tsan_default_suppressions(void)
{
    return "race:^g_queue_pop_tail$\n";
}

#endif
