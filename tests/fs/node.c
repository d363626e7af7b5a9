/* SPDX-License-Identifier: Apache-2.0 */

/* The tree alone: a context without a workspace, and kinds of nodes that only count. */
#include "fs/node.h"

#include "core/error.h"
#include <fcntl.h>
#include <string.h>

#define N_THREADS 4
#define N_ROUNDS 4000

static gint n_freed; /* atomic */

static void
count_free(FsNode *node)
{
    g_atomic_int_inc(&n_freed);
}

static const FsNodeClass folder_class = {
    .name = "folder", .size = sizeof(FsNode), .is_folder = TRUE, .free = count_free};
static const FsNodeClass file_class = {
    .name = "file", .size = sizeof(FsNode), .free = count_free};
static const FsNodeClass other_class = {
    .name = "other", .size = sizeof(FsNode), .free = count_free};

typedef struct {
    FsContext context;
    FsNode *root;
    gint n_made; /* atomic */
} Fixture;

static FsNode *
make(Fixture *fixture, const FsNodeClass *class)
{
    g_atomic_int_inc(&fixture->n_made);
    return fs_node_new(class, &fixture->context);
}

static void
set_up(Fixture *fixture, gconstpointer user_data)
{
    g_atomic_int_set(&n_freed, 0);
    fixture->context =
        (FsContext){.next_inode = 1, .uid = 12, .gid = 34, .umask = 022, .started_ns = 5};
    fixture->context.ingest_times =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_mutex_init(&fixture->context.tree_lock);
    g_mutex_init(&fixture->context.times_lock);
    fixture->root = make(fixture, &folder_class);
}

/* Whatever a test did, each node is freed once. */
static void
tear_down(Fixture *fixture, gconstpointer user_data)
{
    fs_node_unref(fixture->root);
    g_assert_cmpint(g_atomic_int_get(&n_freed), ==, g_atomic_int_get(&fixture->n_made));
    g_hash_table_unref(fixture->context.ingest_times);
    g_mutex_clear(&fixture->context.tree_lock);
    g_mutex_clear(&fixture->context.times_lock);
}

static FsNode *
adopt(Fixture *fixture, FsNode *folder, const char *name, const FsNodeClass *class)
{
    return fs_node_adopt(folder, name, make(fixture, class));
}

static void
assert_path(FsNode *node, FsNode *ancestor, const char *expected)
{
    g_autofree char *path = fs_node_dup_path(node, ancestor);

    g_assert_cmpstr(path, ==, expected);
}

static void
assert_child(FsNode *folder, const char *name, const FsNode *expected)
{
    g_autoptr(FsNode) child = fs_node_child(folder, name);

    g_assert_true(child == expected);
}

static void
test_same(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) first = adopt(fixture, fixture->root, "a", &file_class);
    g_autoptr(FsNode) second = adopt(fixture, fixture->root, "a", &file_class);
    g_autoptr(FsNode) other = adopt(fixture, fixture->root, "b", &file_class);

    g_assert_true(first == second);
    g_assert_true(first != other);
    g_assert_cmpuint(first->inode, !=, other->inode);
    g_assert_cmpint(g_atomic_int_get(&n_freed), ==, 1);
    assert_child(fixture->root, "a", first);
    assert_child(fixture->root, "A", NULL);
    assert_child(first, "a", NULL);
}

static void
test_another_class(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) file = adopt(fixture, fixture->root, "a", &file_class);
    g_autoptr(FsNode) other = adopt(fixture, fixture->root, "a", &other_class);

    g_assert_true(file != other);
    g_assert_false(fs_node_is_placed(file));
    g_assert_true(fs_node_is_placed(other));
    assert_child(fixture->root, "a", other);
}

static void
test_released(Fixture *fixture, gconstpointer user_data)
{
    FsNode *file = adopt(fixture, fixture->root, "a", &file_class);

    fs_node_unref(file);
    g_assert_cmpint(g_atomic_int_get(&n_freed), ==, 1);
    assert_child(fixture->root, "a", NULL);
}

static void
test_parents(Fixture *fixture, gconstpointer user_data)
{
    FsNode *folder = adopt(fixture, fixture->root, "x", &folder_class);
    FsNode *file = adopt(fixture, folder, "a", &file_class);

    fs_node_unref(folder);
    g_assert_cmpint(g_atomic_int_get(&n_freed), ==, 0);
    assert_path(file, NULL, "x/a");
    fs_node_unref(file);
    g_assert_cmpint(g_atomic_int_get(&n_freed), ==, 2);
}

static void
test_kernel(Fixture *fixture, gconstpointer user_data)
{
    FsNode *file = adopt(fixture, fixture->root, "a", &file_class);

    fs_node_remember(file);
    fs_node_remember(file);
    fs_node_remember(file);
    fs_node_unref(file);
    fs_node_forget(file, 2);
    fs_node_forget(file, 0);
    assert_child(fixture->root, "a", file);
    fs_node_forget(file, 1);
    g_assert_cmpint(g_atomic_int_get(&n_freed), ==, 1);
    assert_child(fixture->root, "a", NULL);
}

static void
test_remembered_again(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) file = adopt(fixture, fixture->root, "a", &file_class);

    fs_node_remember(file);
    fs_node_forget(file, 1);
    fs_node_remember(file);
    fs_node_forget(file, 1);
    g_assert_cmpint(g_atomic_int_get(&n_freed), ==, 0);
    assert_child(fixture->root, "a", file);
}

static void
test_detach(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) file = adopt(fixture, fixture->root, "a", &file_class);

    fs_node_detach(fixture->root, "never");
    fs_node_detach(fixture->root, "a");
    g_assert_false(fs_node_is_placed(file));
    g_assert_null(fs_node_dup_parent(file));
    assert_child(fixture->root, "a", NULL);

    g_autoptr(FsNode) next = adopt(fixture, fixture->root, "a", &file_class);
    g_assert_true(next != file);
    g_assert_cmpuint(next->inode, !=, file->inode);
}

/* What was taken out must not take the place of its successor along when it goes. */
static void
test_successor(Fixture *fixture, gconstpointer user_data)
{
    FsNode *file = adopt(fixture, fixture->root, "a", &file_class);

    fs_node_detach(fixture->root, "a");
    g_autoptr(FsNode) next = adopt(fixture, fixture->root, "a", &file_class);
    fs_node_unref(file);
    assert_child(fixture->root, "a", next);
    g_assert_true(fs_node_is_placed(next));
}

static void
test_move(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) x = adopt(fixture, fixture->root, "x", &folder_class);
    g_autoptr(FsNode) y = adopt(fixture, x, "y", &folder_class);
    g_autoptr(FsNode) file = adopt(fixture, y, "a", &file_class);

    fs_node_move(fixture->root, "x", fixture->root, "z");
    assert_path(file, NULL, "z/y/a");
    fs_node_move(x, "y", fixture->root, "w");
    assert_path(file, NULL, "w/a");
    assert_path(x, NULL, "z");
    assert_child(x, "y", NULL);
    fs_node_move(fixture->root, "w", fixture->root, "w");
    assert_path(file, NULL, "w/a");

    g_autoptr(FsNode) parent = fs_node_dup_parent(y);
    g_assert_true(parent == fixture->root);
}

static void
test_move_over(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) file = adopt(fixture, fixture->root, "a", &file_class);
    g_autoptr(FsNode) replaced = adopt(fixture, fixture->root, "b", &file_class);

    fs_node_move(fixture->root, "a", fixture->root, "b");
    assert_child(fixture->root, "b", file);
    assert_child(fixture->root, "a", NULL);
    g_assert_false(fs_node_is_placed(replaced));

    /* Nothing known moves, and yet what was there is gone. */
    fs_node_move(fixture->root, "unknown", fixture->root, "b");
    g_assert_false(fs_node_is_placed(file));
    assert_child(fixture->root, "b", NULL);
}

static void
test_pin(Fixture *fixture, gconstpointer user_data)
{
    FsNode *file = adopt(fixture, fixture->root, "a", &file_class);
    g_autoptr(FsNode) other = adopt(fixture, fixture->root, "b", &file_class);

    fs_node_pin(file, TRUE);
    fs_node_pin(file, TRUE);
    fs_node_unref(file);
    assert_child(fixture->root, "a", file);

    GPtrArray *pinned = fs_node_pinned_children(fixture->root);
    g_assert_cmpuint(pinned->len, ==, 1);
    g_assert_true(pinned->pdata[0] == file);
    g_ptr_array_unref(pinned);
    pinned = fs_node_pinned_children(other);
    g_assert_cmpuint(pinned->len, ==, 0);
    g_ptr_array_unref(pinned);

    fs_node_pin(file, FALSE);
    g_assert_cmpint(g_atomic_int_get(&n_freed), ==, 1);
    fs_node_pin(other, FALSE);
    assert_child(fixture->root, "b", other);
}

static void
test_paths(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) x = adopt(fixture, fixture->root, "x", &folder_class);
    g_autoptr(FsNode) y = adopt(fixture, x, "y", &folder_class);
    g_autoptr(FsNode) file = adopt(fixture, y, "a", &file_class);
    g_autofree char *root_name = fs_node_dup_name(fixture->root);
    g_autofree char *name = fs_node_dup_name(file);

    assert_path(fixture->root, NULL, "");
    assert_path(file, NULL, "x/y/a");
    assert_path(file, fixture->root, "x/y/a");
    assert_path(file, x, "y/a");
    assert_path(file, file, "");
    g_assert_cmpstr(root_name, ==, "");
    g_assert_cmpstr(name, ==, "a");
}

static void
test_ancestor(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) x = adopt(fixture, fixture->root, "x", &folder_class);
    g_autoptr(FsNode) file = adopt(fixture, x, "a", &file_class);
    g_autoptr(FsNode) nearest = fs_node_dup_ancestor(file, &folder_class);
    g_autoptr(FsNode) itself = fs_node_dup_ancestor(file, &file_class);

    g_assert_true(nearest == x);
    g_assert_true(itself == file);
    g_assert_null(fs_node_dup_ancestor(file, &other_class));
    fs_node_detach(x, "a");
    g_assert_null(fs_node_dup_ancestor(file, &folder_class));
}

static LakeSpool *
new_content(const char *text)
{
    LakeSpool *spool = lake_spool_new(g_get_tmp_dir());

    g_assert_true(lake_spool_append(spool, text, strlen(text), NULL));
    return spool;
}

static void
test_one_cache(Fixture *fixture, gconstpointer user_data)
{
    FsCall call = {.pid = 77};
    g_autoptr(FsNode) file = adopt(fixture, fixture->root, "a", &file_class);
    g_autoptr(LakeSpool) content = new_content("four");
    g_autoptr(LakeSpool) longer = new_content("longer");
    FsHandle *first = fs_handle_new(file, &call, O_RDONLY);
    FsHandle *second = fs_handle_new(file, &call, O_RDWR);

    g_assert_false(fs_handle_can_write(first));
    g_assert_true(fs_handle_can_write(second));
    g_assert_cmpint(first->opener, ==, 77);
    fs_handle_set_result(first, content);
    fs_handle_set_result(second, longer);
    g_assert_false(first->is_direct);
    g_assert_true(second->is_direct);
    g_assert_cmpint(file->result_size, ==, 4);

    fs_handle_free(second);
    g_assert_cmpuint(file->n_results, ==, 1);
    fs_handle_set_result(first, longer);
    g_assert_cmpint(file->result_size, ==, 6);
    fs_handle_free(first);
    g_assert_cmpuint(file->n_results, ==, 0);
}

static void
test_idle(Fixture *fixture, gconstpointer user_data)
{
    FsCall call = {0};
    g_autoptr(FsNode) file = adopt(fixture, fixture->root, "a", &file_class);
    g_autoptr(LakeSpool) content = new_content("four");
    gint64 size = 0;

    g_assert_null(fs_node_idle_child(fixture->root, "b", &size));
    g_assert_cmpint(size, ==, -1);
    g_autoptr(FsNode) idle = fs_node_idle_child(fixture->root, "a", &size);
    g_assert_true(idle == file);
    g_assert_cmpint(size, ==, -1);

    FsHandle *handle = fs_handle_new(file, &call, O_RDONLY);
    fs_handle_set_result(handle, content);
    g_assert_null(fs_node_idle_child(fixture->root, "a", &size));
    g_assert_cmpint(size, ==, 4);
    g_assert_false(fs_node_is_placed(file));
    assert_child(fixture->root, "a", NULL);
    fs_handle_free(handle);
}

static void
test_modes(Fixture *fixture, gconstpointer user_data)
{
    static const struct {
        guint32 umask, file, folder, secret, builder;
    } cases[] = {
        {022, 0444, 0755, 0400, 0500},
        {002, 0444, 0775, 0440, 0550},
        {027, 0440, 0750, 0400, 0500},
        {007, 0440, 0770, 0440, 0550},
        {077, 0400, 0700, 0400, 0500},
        {000, 0444, 0777, 0444, 0555},
        {0222, 0444, 0555, 0, 0},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        fixture->context.umask = cases[i].umask;
        g_assert_cmpuint(fs_node_mode(fixture->root, 0444), ==, cases[i].file);
        g_assert_cmpuint(fs_node_mode(fixture->root, 0777), ==, cases[i].folder);
        g_assert_cmpuint(fs_node_private_mode(fixture->root, 0444), ==, cases[i].secret);
        g_assert_cmpuint(fs_node_private_mode(fixture->root, 0555), ==, cases[i].builder);
    }
}

static void
test_status(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) file = adopt(fixture, fixture->root, "a", &file_class);
    struct stat status;

    fs_node_fill_status(file, &status);
    g_assert_cmpuint(status.st_ino, ==, file->inode);
    g_assert_cmpuint(status.st_uid, ==, 12);
    g_assert_cmpuint(status.st_gid, ==, 34);
    g_assert_cmpuint(status.st_nlink, ==, 1);
    g_assert_cmpuint(status.st_mode, ==, S_IFREG | 0644);
    g_assert_cmpint(status.st_blksize, ==, 1024 * 1024);
    g_assert_true(fs_node_folder_attributes(fixture->root, NULL, &status, NULL));
    g_assert_cmpuint(status.st_mode, ==, S_IFDIR | 0755);
    g_assert_cmpuint(status.st_nlink, ==, 2);

    fs_node_set_size(&status, 513);
    g_assert_cmpint(status.st_size, ==, 513);
    g_assert_cmpint(status.st_blocks, ==, 2);
    fs_node_set_mtime(&status, G_GINT64_CONSTANT(1700000000123456789));
    g_assert_cmpint(status.st_mtim.tv_sec, ==, 1700000000);
    g_assert_cmpint(status.st_mtim.tv_nsec, ==, 123456789);
    fs_node_set_mtime(&status, -1);
    g_assert_cmpint(status.st_mtim.tv_sec, ==, -1);
    g_assert_cmpint(status.st_mtim.tv_nsec, ==, 999999999);
}

static void
test_ingest_time(Fixture *fixture, gconstpointer user_data)
{
    gint64 before_ns = fs_node_now_ns();

    g_assert_cmpint(fs_context_ingest_time(&fixture->context, "docs"), ==, 0);
    fs_context_note_ingest(&fixture->context, "docs");
    gint64 first_ns = fs_context_ingest_time(&fixture->context, "docs");
    g_assert_cmpint(first_ns, >=, before_ns);
    fs_context_note_ingest(&fixture->context, "docs");
    g_assert_cmpint(fs_context_ingest_time(&fixture->context, "docs"), >=, first_ns);
    g_assert_cmpint(fs_context_ingest_time(&fixture->context, "other"), ==, 0);
}

static void
test_may_block(Fixture *fixture, gconstpointer user_data)
{
    FsCall loop = {.may_block = FALSE};
    FsCall worker = {.may_block = TRUE};

    g_assert_false(fs_call_may_block(&loop));
    g_assert_true(loop.would_block);
    g_assert_true(fs_call_may_block(&worker));
    g_assert_false(worker.would_block);
}

/* One of the things that requests do with a file, while others do the same. */
static void
do_something(Fixture *fixture, FsNode *folders[2], guint32 choice)
{
    static const char *const names[] = {"a", "b", "c"};
    FsNode *folder = folders[choice & 1];
    const char *name = names[(choice >> 1) % 3];
    const FsNodeClass *class = (choice >> 3) % 8 == 0 ? &other_class : &file_class;
    g_autoptr(FsNode) node = adopt(fixture, folder, name, class);

    fs_node_remember(node);
    switch ((choice >> 6) % 6) {
    case 0:
        fs_node_detach(folder, name);
        break;
    case 1:
        fs_node_move(folder, name, folders[(choice >> 9) & 1], names[(choice >> 10) % 3]);
        break;
    case 2: {
        fs_node_pin(node, TRUE);
        g_autoptr(GPtrArray) pinned = fs_node_pinned_children(folder);
        g_assert_cmpuint(pinned->len, <=, 3);
        fs_node_pin(node, FALSE);
        break;
    }
    case 3: {
        g_autofree char *path = fs_node_dup_path(node, NULL);
        g_autofree char *own = fs_node_dup_name(node);
        g_assert_cmpuint(strlen(path), <=, 3);
        g_assert_cmpuint(strlen(own), ==, 1);
        break;
    }
    case 4: {
        g_autoptr(FsNode) parent = fs_node_dup_parent(node);
        g_autoptr(FsNode) ancestor = fs_node_dup_ancestor(node, &folder_class);
        g_assert_true(!parent || parent == folders[0] || parent == folders[1]);
        break;
    }
    default: {
        gint64 size;
        g_autoptr(FsNode) child = fs_node_idle_child(folder, name, &size);
        break;
    }
    }
    fs_node_forget(node, 1);
}

typedef struct {
    Fixture *fixture;
    FsNode *folders[2];
    guint32 seed;
} Worker;

static gpointer
use_tree(gpointer user_data)
{
    Worker *worker = user_data;
    g_autoptr(GRand) random = g_rand_new_with_seed(worker->seed);

    for (guint round = 0; round < N_ROUNDS; round++)
        do_something(worker->fixture, worker->folders, g_rand_int(random));
    return NULL;
}

static void
test_threads(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(FsNode) x = adopt(fixture, fixture->root, "x", &folder_class);
    g_autoptr(FsNode) y = adopt(fixture, fixture->root, "y", &folder_class);
    Worker workers[N_THREADS];
    GThread *threads[N_THREADS];

    for (guint i = 0; i < N_THREADS; i++) {
        workers[i] = (Worker){fixture, {x, y}, (guint32)g_test_rand_int()};
        threads[i] = g_thread_new("tree", use_tree, &workers[i]);
    }
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(g_hash_table_size(x->children), ==, 0);
    g_assert_cmpuint(g_hash_table_size(y->children), ==, 0);
    g_assert_cmpint(g_atomic_int_get(&n_freed) + 3, ==, g_atomic_int_get(&fixture->n_made));
}

#define ADD(path, function)                                                                    \
    g_test_add("/fs/node/" path, Fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("one-name-is-one-node", test_same);
    ADD("another-class-takes-the-place", test_another_class);
    ADD("the-last-reference-takes-it-out", test_released);
    ADD("a-child-keeps-its-parents", test_parents);
    ADD("the-kernel-keeps-what-it-looked-up", test_kernel);
    ADD("what-was-forgotten-may-be-looked-up-again", test_remembered_again);
    ADD("a-detached-node-lives-without-a-place", test_detach);
    ADD("a-detached-node-leaves-its-successor-alone", test_successor);
    ADD("what-lies-below-moves-along", test_move);
    ADD("a-move-replaces-what-was-there", test_move_over);
    ADD("a-pinned-node-stays", test_pin);
    ADD("a-path-is-the-names-down-to-it", test_paths);
    ADD("the-nearest-of-a-class-is-found", test_ancestor);
    ADD("one-reader-has-the-page-cache", test_one_cache);
    ADD("a-cached-result-gives-up-its-place", test_idle);
    ADD("attributes-are-those-of-who-mounted", test_status);
    ADD("what-is-private-is-for-those-who-may-write", test_modes);
    ADD("the-last-ingest-of-a-table-has-a-time", test_ingest_time);
    ADD("a-call-on-the-loop-never-blocks", test_may_block);
    ADD("any-thread-may-change-the-tree", test_threads);
    return g_test_run();
}
