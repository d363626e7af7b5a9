/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/pdf/guard.h"

#include <math.h>

/* Either is some two seconds of work. Real patterns paint each pixel once, or a few times. */
#define TILES_MAX 2e7
#define PAINTED_PIXELS_MAX 2e9

/* How often a tile is painted along one side of the area, at most. */
static double
count_tiles(double area, double tile, double step)
{
    return (area + 3 * tile) / fabs(step) + 2;
}

/* Not a number counts as too often, too. */
static gboolean
is_too_often(const LakePdfThread *thread, fz_rect area, fz_rect view, float x_step,
    float y_step, fz_matrix matrix)
{
    fz_rect seen = fz_transform_rect(thread->box, fz_invert_matrix(matrix));
    fz_rect shown = fz_intersect_rect(area, seen);
    fz_rect tile = fz_intersect_rect(fz_transform_rect(view, matrix), thread->box);

    if (fz_is_empty_rect(shown))
        return FALSE;
    double n_tiles =
        count_tiles((double)shown.x1 - shown.x0, (double)view.x1 - view.x0, x_step) *
        count_tiles((double)shown.y1 - shown.y0, (double)view.y1 - view.y0, y_step);
    double n_pixels = ((double)tile.x1 - tile.x0 + 1) * ((double)tile.y1 - tile.y0 + 1);
    return !(n_tiles <= TILES_MAX && n_tiles * MAX(n_pixels, 1) <= PAINTED_PIXELS_MAX);
}

static int
begin_tile(fz_context *context, fz_device *device, fz_rect area, fz_rect view, float x_step,
    float y_step, fz_matrix matrix, int id)
{
    LakePdfThread *thread = fz_user_context(context);

    if (is_too_often(thread, area, view, x_step, y_step, matrix)) {
        thread->is_absurd = TRUE;
        g_strlcpy(
            thread->said, "a pattern in it is repeated without measure", sizeof thread->said);
        fz_throw(context, FZ_ERROR_GENERIC, "pattern repeated too often");
    }
    return thread->begin_tile(context, device, area, view, x_step, y_step, matrix, id);
}

void
lake_pdf_guard(LakePdfThread *thread, fz_device *device, fz_rect box)
{
    thread->box = box;
    thread->begin_tile = device->begin_tile;
    device->begin_tile = begin_tile;
}
