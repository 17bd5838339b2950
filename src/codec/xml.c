#include "codec/xml.h"

#include <expat.h>
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/limits.h"

struct reading {
    XML_Parser parser;
    const struct hf_xml_events *events;
    void *arg;
    struct hf_err err;
    int depth;
    size_t path_len;
    size_t path_ends[HF_XML_DEPTH]; /* length of the path above each open element */
    char path[HF_XML_PATH];
    bool is_leaf; /* nothing but text since the last start: that text is the element's */
    struct hf_buf text;
};

static void stop(struct reading *r, enum hf_code code, const char *what)
{
    if (r->err.code == HF_OK)
        hf_err_set(&r->err, code, "XML answer: %s", what);
    XML_StopParser(r->parser, XML_FALSE);
}

static void on_start(void *arg, const char *name, const char **attrs)
{
    struct reading *r = arg;
    size_t len = strlen(name);
    if (r->err.code != HF_OK)
        return;
    if (r->depth == HF_XML_DEPTH || r->path_len + len + 2 > sizeof(r->path)) {
        stop(r, HF_E_LIMIT, "nested too deep");
        return;
    }
    r->path_ends[r->depth++] = r->path_len;
    if (r->path_len > 0)
        r->path[r->path_len++] = '/';
    memcpy(r->path + r->path_len, name, len + 1);
    r->path_len += len;
    r->is_leaf = true;
    hf_buf_reset(&r->text);
    if (r->events->on_start == NULL)
        return;
    if (r->events->on_start(r->arg, r->path, (const char *const *)attrs, &r->err) != HF_OK)
        XML_StopParser(r->parser, XML_FALSE);
}

static void on_end(void *arg, const char *name)
{
    struct reading *r = arg;
    (void)name;
    if (r->err.code != HF_OK)
        return;
    hf_assert(r->depth > 0);
    const char *text = r->is_leaf ? hf_buf_str(&r->text) : "";
    if (r->events->on_end(r->arg, r->path, text, &r->err) != HF_OK) {
        XML_StopParser(r->parser, XML_FALSE);
        return;
    }
    r->is_leaf = false;
    r->path_len = r->path_ends[--r->depth];
    r->path[r->path_len] = '\0';
}

static void on_text(void *arg, const char *text, int len)
{
    struct reading *r = arg;
    if (r->err.code != HF_OK || !r->is_leaf)
        return;
    if (hf_buf_append(&r->text, text, (size_t)len, NULL) != HF_OK)
        stop(r, HF_E_LIMIT, "an element's text is too long");
}

static void on_doctype(void *arg, const char *name, const char *system, const char *public,
                       int has_internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_internal;
    stop(arg, HF_E_CORRUPT, "a document type is not allowed");
}

static void describe(struct reading *r)
{
    if (r->err.code != HF_OK)
        return;
    hf_err_set(&r->err, HF_E_CORRUPT, "XML answer: line %lu: %s",
               (unsigned long)XML_GetCurrentLineNumber(r->parser),
               XML_ErrorString(XML_GetErrorCode(r->parser)));
}

enum hf_code hf_xml_read(const void *data, size_t len, const struct hf_xml_events *events,
                         void *arg, struct hf_err *err)
{
    if (len > HF_LIMIT_XML)
        return hf_err_set(err, HF_E_LIMIT, "XML answer: %zu bytes, more than %d", len,
                          HF_LIMIT_XML);
    struct reading r = {.events = events, .arg = arg, .err = HF_ERR_INIT};
    hf_buf_init(&r.text, HF_XML_TEXT);
    r.parser = XML_ParserCreate("UTF-8");
    hf_assert(r.parser != NULL);
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    if (XML_Parse(r.parser, data, (int)len, XML_TRUE) != XML_STATUS_OK)
        describe(&r);
    XML_ParserFree(r.parser);
    hf_buf_deinit(&r.text);
    if (r.err.code != HF_OK && err != NULL)
        *err = r.err;
    return r.err.code;
}
