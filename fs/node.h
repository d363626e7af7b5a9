/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node.h: files and folders of the mount: one class per kind, in fs/node/.
 *
 * A node is what an inode number stands for. It holds its parent and its name, never its path:
 * a rename moves it, and everything below follows. Parents know their children, so that the
 * same file is the same node for as long as the kernel, a handle or unsaved bytes hold it.
 *
 * Locks, in this order: a file's own lock (fs/node/inbox_file.c), then the tree's
 * (context->tree_lock: parents, names, children, lookup counts), then those inside fs/cache.c
 * and fs/failures.c. No lock is held while the server is asked.
 */

#include "core/row.h"
#include "core/workspace.h"
#include <sys/stat.h>

typedef struct FsNode FsNode;
typedef struct FsHandle FsHandle;
typedef struct FsContext FsContext;
typedef struct FsNodeClass FsNodeClass;

/* One request: who asks, and whether the answer may take a server. */
typedef struct {
    guint32 uid, gid;
    gint32 pid;
    GCancellable *cancellable;
    gboolean may_block;
    gboolean would_block; /* set by whoever needs the server when may_block is FALSE */
    gboolean is_outdated; /* set by whoever answers with what has changed since it was read */
} FsCall;

/* What all nodes of a mount share. Constant but for what has its own lock. */
struct FsContext {
    LakeWorkspace *workspace;
    struct FsCache *cache;
    struct FsFailures *failures;
    struct FsMetrics *metrics;
    struct FsFreshness *freshness; /* NULL where no kernel is told of anything */
    guint32 uid, gid;              /* who mounted */
    guint32 umask;                 /* permissions that nobody has but on ingested files */
    gint64 started_ns;             /* UNIX epoch */
    GMutex tree_lock;
    guint64 next_inode; /* tree_lock */
    GMutex times_lock;
    GHashTable *ingest_times; /* table → gint64*, ns, of its last ingest here; times_lock */
};

struct FsNode {
    const FsNodeClass *class;
    FsContext *context;
    gatomicrefcount n_references;
    guint64 inode;
    /* Guarded by the tree lock: */
    FsNode *parent;       /* referenced; NULL for the root and for nodes taken out */
    char *name;           /* as the kernel knows it */
    char *former_path;    /* of a node that was taken out: where it was, for messages */
    GHashTable *children; /* the child's name → FsNode, both borrowed; NULL for files */
    guint64 n_lookups;    /* the kernel's */
    gint64 told_at_us;    /* when it last looked up, monotonic */
    guint n_results;      /* open handles whose bytes are in the kernel's page cache: 0 or 1,
                             but any number of a row's value */
    gint64 result_size;   /* of those bytes; else of the last result, or -1 */
    gboolean is_pinned;   /* holds a reference of its own: unsaved bytes */
};

/* What setattr asks for. */
typedef enum {
    FS_CHANGE_MODE = 1 << 0,
    FS_CHANGE_UID = 1 << 1,
    FS_CHANGE_GID = 1 << 2,
    FS_CHANGE_SIZE = 1 << 3,
    FS_CHANGE_MTIME = 1 << 4,
} FsChangeMask;

typedef struct {
    guint mask;
    guint32 mode, uid, gid;
    gint64 size_bytes;
    gint64 mtime_ns;
} FsChange;

typedef struct {
    char *name;
    gboolean is_folder;
    LakeLedgerEntry *entry; /* of an ingested file; NULL elsewhere */
    GError *failure;        /* why it cannot be shown: said once all others were; else NULL */
} FsListed;

void fs_listed_free(FsListed *listed);
FsListed *fs_listed_new(const char *name, gboolean is_folder);

/* What a kind of node can do. A missing function is answered with EPERM (the names below say
 * which). Each gets a call and may ask the server only when call->may_block. */
struct FsNodeClass {
    const char *name;
    gsize size; /* of its struct, which begins with FsNode */
    gboolean is_folder;
    double timeout_seconds; /* how long the kernel may believe attributes and name */
    void (*free)(FsNode *node);

    gboolean (*attributes)(FsNode *node, FsCall *call, struct stat *ret_status, GError **error);
    gboolean (*change)(
        FsNode *node, FsCall *call, FsHandle *handle, const FsChange *change, GError **error);

    /* Folders. lookup returns a new reference, or NULL without an error where there is nothing.
     */
    FsNode *(*lookup)(FsNode *folder, FsCall *call, const char *name, GError **error);
    /* How long the kernel may believe that there is no such name; missing: not at all. Only
     * where nothing appears but through this kernel, or from others, who may wait. */
    double (*absence_seconds)(const char *name);
    /* From a listing alone, where it tells enough; NULL and FALSE where it does not. */
    FsNode *(*lookup_listed)(FsNode *folder, const FsListed *listed);
    gboolean (*listed_attributes)(
        FsNode *child, const FsListed *listed, struct stat *ret_status);
    GPtrArray *(*list)(
        FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error);
    FsHandle *(*create)(FsNode *folder, FsCall *call, const char *name, guint32 mode, int flags,
        GError **error);
    FsNode *(*make_folder)(
        FsNode *folder, FsCall *call, const char *name, guint32 mode, GError **error);
    gboolean (*remove_file)(FsNode *folder, FsCall *call, const char *name, GError **error);
    gboolean (*remove_folder)(FsNode *folder, FsCall *call, const char *name, GError **error);
    gboolean (*rename)(FsNode *folder, FsCall *call, const char *name, FsNode *new_folder,
        const char *new_name, gboolean may_replace, GError **error);

    /* Files. */
    FsHandle *(*open)(FsNode *node, FsCall *call, int flags, GError **error);
    gboolean (*write)(FsHandle *handle, FsCall *call, gint64 offset, const void *data,
        gsize n_bytes, GError **error);
    /* Instead of handle->content: fewer than n_bytes only at the end. */
    GBytes *(*read)(
        FsHandle *handle, FsCall *call, gint64 offset, gsize n_bytes, GError **error);
    gboolean (*prepare_read)(FsHandle *handle, FsCall *call, GError **error);
    gboolean (*flush)(FsHandle *handle, FsCall *call, GError **error);
    gboolean (*release)(FsHandle *handle, FsCall *call, GError **error);
    gboolean (*sync)(FsHandle *handle, FsCall *call, GError **error);

    /* user.* attributes as a JSON object (NULL: none), read and replaced whole. */
    char *(*xattrs)(FsNode *node, FsCall *call, GError **error);
    gboolean (*set_xattrs)(FsNode *node, FsCall *call, const char *xattrs, GError **error);
};

/* An open file. */
struct FsHandle {
    FsNode *node;          /* referenced */
    int flags;             /* of open(2) */
    LakeSpool *content;    /* what is read; NULL until something is there */
    LakeSpool *staged;     /* what is written; NULL when it cannot be */
    LakeRowReader *reader; /* what is read of a row's value; else NULL */
    GError *at_end;        /* what a reader gets after the last byte instead of the end */
    gboolean is_direct;    /* no page cache */
    gboolean is_result;    /* counted in node->n_results */
    gint32 opener;         /* process */
    guint32 writer_uid;    /* who opened it; of several who write, one that did not mount */
    /* What follows is changed by one request at a time: of a query's handle by whoever holds
     * the file open, of an ingested file's under that file's lock. */
    gboolean is_dirty;       /* bytes that no flush has dealt with yet */
    GError *write_error;     /* of a write that failed: what is staged is not what was meant */
    gboolean has_written;    /* ever */
    gboolean is_empty_start; /* created or truncated: counts even if nothing is written */
    guint n_flushed;         /* verdicts given */
    guint64 generation; /* of an ingested file: bytes written before it was removed are dead */
    gboolean has_read;  /* of a query open for both: what was written is this handle's alone */
    gboolean is_writer; /* of the options: what the node shows is what this one has written */
};

/* --- the tree --- */

FsContext *fs_context_new(LakeWorkspace *workspace);
void fs_context_free(FsContext *context);

/* A node with one reference and no place in the tree; the class's own fields are zero. */
FsNode *fs_node_new(const FsNodeClass *class, FsContext *context);
FsNode *fs_node_ref(FsNode *node);
void fs_node_unref(FsNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FsNode, fs_node_unref)

/* The child that is known under name, with a new reference, or NULL. */
FsNode *fs_node_child(FsNode *folder, const char *name);
/* Gives made (consumed) its place, unless there is a child of that class by that name: then
 * that one. Returns a new reference. */
FsNode *fs_node_adopt(FsNode *folder, const char *name, FsNode *made);
/* As fs_node_child, but a child whose bytes are in the page cache of a reader gives up its
 * place, and NULL is returned: the next opener gets an inode, a size and a cache of its own.
 * *ret_size is what it last gave, or -1. */
FsNode *fs_node_idle_child(FsNode *folder, const char *name, gint64 *ret_size);
/* Takes name's node, if any, out of the tree; handles keep it alive. */
void fs_node_detach(FsNode *folder, const char *name);
/* Moves name's node, if any, to a new place; what was there is taken out. */
void fs_node_move(FsNode *folder, const char *name, FsNode *new_folder, const char *new_name);
/* Keeps a node though neither kernel nor handle know it, or no longer. */
void fs_node_pin(FsNode *node, gboolean is_pinned);
/* Children of folder that are pinned, with references. Of FsNode. */
GPtrArray *fs_node_pinned_children(FsNode *folder);
/* As that, and with what lies deeper. */
GPtrArray *fs_node_pinned_below(FsNode *folder);
FsNode *fs_node_dup_parent(FsNode *node);
gboolean fs_node_is_placed(FsNode *node);

/* The kernel's references. */
void fs_node_remember(FsNode *node);
void fs_node_forget(FsNode *node, guint64 n_lookups);

char *fs_node_dup_name(FsNode *node);
/* Names from below ancestor down to node, joined by '/'; "" for ancestor itself. ancestor NULL:
 * from the root, and for a node that was taken out from where it was. Caller frees. */
char *fs_node_dup_path(FsNode *node, FsNode *ancestor);
/* The nearest of node and its parents that is of class, with a reference; NULL: none. */
FsNode *fs_node_dup_ancestor(FsNode *node, const FsNodeClass *class);

/* --- what many kinds need --- */

/* Owner, times and block size as every node has them; the caller sets mode and size. */
void fs_node_fill_status(FsNode *node, struct stat *ret_status);
void fs_node_set_size(struct stat *status, gint64 size_bytes);
void fs_node_set_mtime(struct stat *status, gint64 mtime_ns);
/* Permissions as far as the mount's umask leaves them. */
guint32 fs_node_mode(FsNode *node, guint32 mode);
/* Of those alone who may also write queries here: for what shows other users' doings, and for
 * SQL of the caller's own. */
guint32 fs_node_private_mode(FsNode *node, guint32 mode);
/* A folder's attributes: 0755, unless the umask says otherwise, of who mounted. Fits
 * FsNodeClass.attributes. */
gboolean
fs_node_folder_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error);

FsHandle *fs_handle_new(FsNode *node, FsCall *call, int flags);
void fs_handle_free(FsHandle *handle);
/* Gives the handle the bytes that it will read. Exact size and page cache, unless another
 * reader of the same node has that already: then without the cache. */
void fs_handle_set_result(FsHandle *handle, LakeSpool *content);
gboolean fs_handle_can_write(const FsHandle *handle);

/* FALSE, and call->would_block set, when the call may not block. */
gboolean fs_call_may_block(FsCall *call);

/* Now, UNIX epoch. */
gint64 fs_node_now_ns(void);

/* When something was last ingested into a table through this mount; 0: never. */
gint64 fs_context_ingest_time(FsContext *context, const char *table);
void fs_context_note_ingest(FsContext *context, const char *table);

/* --- the classes, and what one needs of another --- */

extern const FsNodeClass fs_node_root;
extern const FsNodeClass fs_node_table;
extern const FsNodeClass fs_node_rows; /* <table>/rows/ */
extern const FsNodeClass fs_node_row;
extern const FsNodeClass fs_node_value;
extern const FsNodeClass fs_node_index;
extern const FsNodeClass fs_node_indexes; /* of a table */
extern const FsNodeClass fs_node_document;
extern const FsNodeClass fs_node_query;
extern const FsNodeClass fs_node_control;
extern const FsNodeClass fs_node_inbox;        /* ingest/ */
extern const FsNodeClass fs_node_inbox_folder; /* a drop zone, or a folder in one */
extern const FsNodeClass fs_node_inbox_file;
extern const FsNodeClass fs_node_options;
