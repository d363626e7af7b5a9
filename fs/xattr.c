/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/xattr.h"

#include <cjson/cJSON.h>
#include <string.h>

gboolean
fs_xattr_is_kept(const char *name)
{
    return g_str_has_prefix(name, "user.");
}

static cJSON *
parse(const char *json)
{
    cJSON *object = cJSON_Parse(json ? json : "{}");

    return object ? object : cJSON_CreateObject();
}

GBytes *
fs_xattr_get(const char *json, const char *name)
{
    cJSON *object = parse(json);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    GBytes *bytes = NULL;

    if (cJSON_IsString(value)) {
        gsize n_bytes;
        guchar *decoded = g_base64_decode(value->valuestring, &n_bytes);
        bytes = g_bytes_new_take(decoded, n_bytes);
    }
    cJSON_Delete(object);
    return bytes;
}

char *
fs_xattr_with(const char *json, const char *name, const void *value, gsize n_bytes)
{
    cJSON *object = parse(json);
    char *printed;
    char *result = NULL;

    cJSON_DeleteItemFromObjectCaseSensitive(object, name);
    if (value) {
        g_autofree char *encoded = g_base64_encode(value, n_bytes);
        cJSON_AddStringToObject(object, name, encoded);
    }
    if (cJSON_GetArraySize(object) > 0) {
        printed = cJSON_PrintUnformatted(object);
        result = g_strdup(printed);
        cJSON_free(printed);
    }
    cJSON_Delete(object);
    return result;
}

GByteArray *
fs_xattr_names(const char *json)
{
    cJSON *object = parse(json);
    GByteArray *names = g_byte_array_new();
    const cJSON *item;

    /* What deeplakefs tells by itself is found, not listed: rsync -X would send it for ever. */
    cJSON_ArrayForEach(item, object)
    {
        if (!g_str_has_prefix(item->string, "user.deeplake."))
            g_byte_array_append(
                names, (const guint8 *)item->string, (guint)strlen(item->string) + 1);
    }
    cJSON_Delete(object);
    return names;
}
