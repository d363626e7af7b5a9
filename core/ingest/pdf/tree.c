/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/pdf/tree.h"

#include "core/error.h"

#include <stdlib.h>

#define DEPTH_MAX 500          /* folders in folders */
#define FOLDERS_MAX 1000000    /* visits, so that the same ones over and over come to an end */
#define CHECK_EVERY_NODES 1024 /* looks whether it is to stop */

/* A folder of pages that is being walked. */
typedef struct {
    pdf_obj *kids; /* owned */
    int next;
} Level;

typedef struct {
    fz_context *context;
    LakePdfThread *thread;
    gint64 max_pages;
    Level levels[DEPTH_MAX];
    int depth;
    guint n_folders;
    gint64 n_nodes;
    GArray *numbers; /* of the pages' objects, of int; 0: a page that is no object of its own */
    gboolean is_too_long;
} Walk;

/* As MuPDF decides it, which is lenient about the types. */
static gboolean
is_folder(fz_context *context, pdf_obj *node)
{
    pdf_obj *type = pdf_dict_get(context, node, PDF_NAME(Type));

    if (type)
        return pdf_name_eq(context, type, PDF_NAME(Pages)) != 0;
    return pdf_dict_get(context, node, PDF_NAME(Kids)) &&
           !pdf_dict_get(context, node, PDF_NAME(MediaBox));
}

static gboolean
is_above(const Walk *walk, pdf_obj *kids)
{
    for (int i = 0; i < walk->depth; i++)
        if (walk->levels[i].kids == kids)
            return TRUE;
    return FALSE;
}

static void
enter(Walk *walk, pdf_obj *node)
{
    pdf_obj *kids =
        pdf_resolve_indirect(walk->context, pdf_dict_get(walk->context, node, PDF_NAME(Kids)));

    if (is_above(walk, kids))
        fz_throw(walk->context, FZ_ERROR_GENERIC, "the tree of pages contains itself");
    if (walk->depth == DEPTH_MAX || walk->n_folders == FOLDERS_MAX)
        fz_throw(walk->context, FZ_ERROR_GENERIC, "the tree of pages is too deep");
    walk->n_folders++;
    walk->levels[walk->depth].kids = pdf_keep_obj(walk->context, kids);
    walk->levels[walk->depth].next = 0;
    walk->depth++;
}

static void
leave(Walk *walk)
{
    walk->depth--;
    pdf_drop_obj(walk->context, walk->levels[walk->depth].kids);
}

/* Throws. */
static void
walk_on(Walk *walk)
{
    Level *level = &walk->levels[walk->depth - 1];

    if (++walk->n_nodes % CHECK_EVERY_NODES == 0)
        lake_pdf_thread_check(walk->thread);
    if (level->next >= pdf_array_len(walk->context, level->kids)) {
        leave(walk);
        return;
    }

    pdf_obj *kid = pdf_array_get(walk->context, level->kids, level->next++);
    if (is_folder(walk->context, kid)) {
        enter(walk, kid);
    } else {
        int number = pdf_to_num(walk->context, kid);
        g_array_append_val(walk->numbers, number);
        walk->is_too_long = walk->numbers->len > walk->max_pages;
    }
}

static int
compare_objects(const void *left, const void *right)
{
    const pdf_rev_page_map *one = left;
    const pdf_rev_page_map *other = right;

    return (one->object > other->object) - (one->object < other->object);
}

/* Throws. What pdf_load_page_tree would leave in the document, had it been told how many pages
 * there are. */
static void
set_map(fz_context *context, pdf_document *document, const GArray *numbers)
{
    int n_pages = (int)numbers->len;

    for (int i = 0; i < n_pages; i++)
        if (g_array_index(numbers, int, i) == 0)
            return;
    if (n_pages == 0 || document->page_map_nesting > 0)
        return;

    document->fwd_page_map = fz_malloc_array(context, n_pages, int);
    document->page_map_nesting = 1;
    document->rev_page_map = fz_malloc_array(context, n_pages, pdf_rev_page_map);
    document->map_page_count = n_pages;
    for (int i = 0; i < n_pages; i++) {
        document->fwd_page_map[i] = g_array_index(numbers, int, i);
        document->rev_page_map[i].page = i;
        document->rev_page_map[i].object = document->fwd_page_map[i];
    }
    qsort(document->rev_page_map, (gsize)n_pages, sizeof *document->rev_page_map,
        compare_objects);
}

static gboolean
refuse_too_long(const Walk *walk, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
        "the PDF has more than %" G_GINT64_FORMAT " pages", walk->max_pages);
    if (error)
        lake_error_hint(*error, "split it, or mount with a higher pdf_max_pages");
    return FALSE;
}

static gboolean
walk_tree(LakePdf *pdf, Walk *walk)
{
    fz_context *context = walk->context;
    gboolean is_done = FALSE;

    fz_var(is_done);
    fz_try(context)
    {
        pdf_obj *root =
            pdf_dict_getp(context, pdf_trailer(context, pdf->document), "Root/Pages");
        pdf->n_claimed = pdf_to_int(context, pdf_dict_get(context, root, PDF_NAME(Count)));
        enter(walk, root);
        while (walk->depth > 0 && !walk->is_too_long)
            walk_on(walk);
        if (!walk->is_too_long)
            set_map(context, pdf->document, walk->numbers);
        is_done = TRUE;
    }
    fz_always(context)
    {
        while (walk->depth > 0)
            leave(walk);
    }
    fz_catch(context) is_done = FALSE;
    return is_done;
}

gboolean
lake_pdf_tree_load(LakePdf *pdf, LakePdfThread *thread, gint64 max_pages, GError **error)
{
    g_autofree Walk *walk = g_new0(Walk, 1);
    g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(int));

    walk->context = pdf->context;
    walk->thread = thread;
    walk->max_pages = max_pages;
    walk->numbers = numbers;
    if (!walk_tree(pdf, walk))
        return lake_pdf_thread_fail(thread, error, "the pages of the PDF cannot be found");
    if (walk->is_too_long)
        return refuse_too_long(walk, error);
    if (numbers->len == 0)
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST, "the PDF has no pages");
    pdf->n_pages = (int)numbers->len;
    return TRUE;
}

void
lake_pdf_tree_unload(LakePdf *pdf)
{
    if (pdf->document->page_map_nesting > 0)
        pdf_drop_page_tree(pdf->context, pdf->document);
}
