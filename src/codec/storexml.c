#include "codec/storexml.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/parse.h"
#include "codec/httpurl.h"
#include "codec/xml.h"

const struct hf_storexml_form hf_storexml_azure = {
    .item = "EnumerationResults/Blobs/Blob",
    .name = "Name",
    .size = "Properties/Content-Length",
    .etag = "Properties/Etag",
    .time = "Properties/Last-Modified",
    .created = "Properties/Creation-Time",
    .stamp = "Metadata/litestreamtimestamp",
    .prefix = "EnumerationResults/Blobs/BlobPrefix/Name",
    .next = "EnumerationResults/NextMarker",
};

const struct hf_storexml_form hf_storexml_s3 = {
    .item = "ListBucketResult/Contents",
    .name = "Key",
    .size = "Size",
    .etag = "ETag",
    .time = "LastModified",
    .prefix = "ListBucketResult/CommonPrefixes/Prefix",
    .next = "ListBucketResult/NextContinuationToken",
};

enum { NAME, SIZE, ETAG, TIME, CREATED, STAMP, FIELDS };

struct listing {
    const struct hf_storexml_form *form;
    hf_storexml_fn *fn;
    void *arg;
    struct hf_buf *next;
    size_t item_len;
    bool is_encoded; /* the name now open */
    struct hf_buf fields[FIELDS];
};

static const char *field_name(const struct hf_storexml_form *f, size_t i)
{
    const char *const names[FIELDS] = {f->name, f->size, f->etag, f->time, f->created, f->stamp};
    return names[i];
}

static enum hf_code on_start(void *arg, const char *path, const char *const *attrs,
                             struct hf_err *err)
{
    struct listing *l = arg;
    size_t root = strcspn(l->form->item, "/");
    bool is_root = strchr(path, '/') == NULL;
    if (is_root && (strlen(path) != root || strncmp(path, l->form->item, root) != 0))
        return hf_err_set(err, HF_E_CORRUPT, "XML answer: <%.60s> is no listing", path);
    l->is_encoded = false;
    for (size_t i = 0; attrs[i] != NULL; i += 2)
        l->is_encoded |= strcmp(attrs[i], "Encoded") == 0 && strcmp(attrs[i + 1], "true") == 0;
    if (strcmp(path, l->form->item) == 0) {
        for (size_t i = 0; i < FIELDS; i++)
            hf_buf_reset(&l->fields[i]);
    }
    return HF_OK;
}

static enum hf_code put_name(struct listing *l, struct hf_buf *to, const char *text,
                             struct hf_err *err)
{
    hf_buf_reset(to);
    HF_TRY(hf_buf_append(to, text, strlen(text), err));
    if (!l->is_encoded)
        return HF_OK;
    (void)hf_buf_str(to); /* terminated: it never grows by this */
    HF_TRY(hf_url_unescape((char *)to->data, err));
    to->len = strlen((char *)to->data);
    return HF_OK;
}

static enum hf_code put_etag(struct hf_buf *to, const char *text, struct hf_err *err)
{
    hf_buf_reset(to);
    bool is_quoted = text[0] == '"' || strncmp(text, "W/", 2) == 0 || text[0] == '\0';
    return hf_buf_appendf(to, err, is_quoted ? "%s" : "\"%s\"", text);
}

static enum hf_code end_item(struct listing *l, struct hf_err *err)
{
    struct hf_buf *f = l->fields;
    struct hf_storexml_item item = {
        .name = hf_buf_str(&f[NAME]),
        .etag = hf_buf_str(&f[ETAG]),
        .time = hf_buf_str(&f[TIME]),
        .created = hf_buf_str(&f[CREATED]),
        .stamp = hf_buf_str(&f[STAMP]),
    };
    int64_t size = 0;
    if (f[SIZE].len > 0)
        HF_TRY(hf_parse_i64(hf_buf_str(&f[SIZE]), 0, INT64_MAX, &size, err));
    if (item.name[0] == '\0')
        return hf_err_set(err, HF_E_CORRUPT, "XML answer: an object without a name");
    item.size = (uint64_t)size;
    return l->fn(l->arg, &item, err);
}

static enum hf_code on_end(void *arg, const char *path, const char *text, struct hf_err *err)
{
    struct listing *l = arg;
    const struct hf_storexml_form *form = l->form;
    if (strcmp(path, form->item) == 0)
        return end_item(l, err);
    if (strcmp(path, form->next) == 0) {
        hf_buf_reset(l->next);
        return hf_buf_append(l->next, text, strlen(text), err);
    }
    if (strcmp(path, form->prefix) == 0) {
        HF_TRY(put_name(l, &l->fields[NAME], text, err));
        struct hf_storexml_item item = {true, hf_buf_str(&l->fields[NAME]), 0, "", "", "", ""};
        return l->fn(l->arg, &item, err);
    }
    if (strncmp(path, form->item, l->item_len) != 0 || path[l->item_len] != '/')
        return HF_OK;
    for (size_t i = 0; i < FIELDS; i++) {
        const char *name = field_name(form, i);
        if (name == NULL || strcasecmp(path + l->item_len + 1, name) != 0)
            continue;
        if (i == NAME)
            return put_name(l, &l->fields[i], text, err);
        if (i == ETAG)
            return put_etag(&l->fields[i], text, err);
        hf_buf_reset(&l->fields[i]);
        return hf_buf_append(&l->fields[i], text, strlen(text), err);
    }
    return HF_OK;
}

enum hf_code hf_storexml_list(const struct hf_storexml_form *form, const struct hf_buf *xml,
                              hf_storexml_fn *fn, void *arg, struct hf_buf *next,
                              struct hf_err *err)
{
    static const struct hf_xml_events events = {on_start, on_end};
    struct listing l = {.form = form, .fn = fn, .arg = arg, .next = next};
    l.item_len = strlen(form->item);
    for (size_t i = 0; i < FIELDS; i++)
        hf_buf_init(&l.fields[i], HF_XML_TEXT + 3);
    hf_buf_reset(next);
    enum hf_code rc = hf_xml_read(xml->data, xml->len, &events, &l, err);
    for (size_t i = 0; i < FIELDS; i++)
        hf_buf_deinit(&l.fields[i]);
    return rc;
}

/* --- errors --- */

static enum hf_code error_end(void *arg, const char *path, const char *text, struct hf_err *err)
{
    struct hf_storexml_error *e = arg;
    (void)err;
    size_t line = strcspn(text, "\r\n");
    if (strcmp(path, "Error/Code") == 0)
        snprintf(e->code, sizeof(e->code), "%s", text);
    else if (strcmp(path, "Error/Message") == 0)
        snprintf(e->message, sizeof(e->message), "%.*s", (int)line, text);
    else if (strcmp(path, "Error/Region") == 0)
        snprintf(e->region, sizeof(e->region), "%s", text);
    return HF_OK;
}

enum hf_code hf_storexml_error(const struct hf_buf *xml, struct hf_storexml_error *out,
                               struct hf_err *err)
{
    static const struct hf_xml_events events = {NULL, error_end};
    *out = (struct hf_storexml_error){0};
    enum hf_code rc = hf_xml_read(xml->data, xml->len, &events, out, err);
    if (rc == HF_OK && out->code[0] == '\0')
        rc = hf_err_set(err, HF_E_CORRUPT, "XML answer: no error code in it");
    if (rc != HF_OK)
        *out = (struct hf_storexml_error){0};
    return rc;
}
