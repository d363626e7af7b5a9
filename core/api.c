/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api.h"

#include "core/api/client.h"

gboolean
lake_api_check_health(const char *url, const char *ca_file, gint64 timeout_ms,
    GCancellable *cancellable, GError **error)
{
    const LakeApiOptions options = {
        .url = url,
        .ca_file = ca_file,
        .connect_timeout_ms = timeout_ms,
        .n_at_once = 1,
        .staging_dir = g_get_tmp_dir(),
    };
    g_autoptr(LakeApiClient) client = lake_api_client_new(&options);

    return lake_api_client_health(client, timeout_ms, cancellable, error);
}
