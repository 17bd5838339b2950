/*
 * Replica URLs as Litestream's users write them: "file:///var/backups/app", a plain path, or
 * "type://..." of a store that needs a server.
 *
 * A file URL is taken literally behind "file:": no percent decoding, and "file://backups/app" is
 * /backups/app, because that is what Litestream makes of it. Pure, any thread.
 */
#ifndef HF_STORE_URL_H
#define HF_STORE_URL_H

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

struct hf_store_url {
    char *type; /* "file", "s3", ...; lower case */
    char *path; /* cleaned path of a file URL, NULL for other types */
};

/* HF_E_INVALID for an empty text or path or a malformed scheme. The type need not be one that is
 * built in. Texts never repeat what may hold a password. */
HF_MUST enum hf_code hf_store_url_parse(const char *url, struct hf_store_url *out,
                                        struct hf_err *err);
void hf_store_url_deinit(struct hf_store_url *u);
/* true if text has a scheme: "type://" or "file:/"; false for plain paths. */
bool hf_store_url_has_scheme(const char *text);

/* Lexical: "//" and "." parts gone, ".." resolved, no '/' at the end. The caller frees. */
HF_MUST char *hf_store_path_clean(const char *path);

#endif
