/*
 * Reading XML answers of object stores: elements by their path, with their text. On expat, with
 * everything that can expand or fetch refused: a document type ends the reading.
 *
 * Pure, any thread. Limits: HF_LIMIT_XML bytes, HF_XML_DEPTH elements deep, HF_XML_TEXT bytes of
 * text in one element, HF_XML_PATH bytes of path. A byte order mark is passed over.
 */
#ifndef HF_CODEC_XML_H
#define HF_CODEC_XML_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

enum { HF_XML_DEPTH = 16, HF_XML_TEXT = 8192, HF_XML_PATH = 1024 };

struct hf_xml_events {
    /* path: "EnumerationResults/Blobs/Blob"; attrs: name, value, ..., NULL. May be NULL. */
    enum hf_code (*on_start)(void *arg, const char *path, const char *const *attrs,
                             struct hf_err *err);
    /* text: the element's own, as it stands. Any code but HF_OK ends the reading with it. */
    enum hf_code (*on_end)(void *arg, const char *path, const char *text, struct hf_err *err);
};

/* HF_E_CORRUPT for what is not one whole well-formed document, HF_E_LIMIT above a limit. */
HF_MUST enum hf_code hf_xml_read(const void *data, size_t len, const struct hf_xml_events *events,
                                 void *arg, struct hf_err *err);

#endif
