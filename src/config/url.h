/*
 * Replica URLs: file:///var/backups/app, s3://BUCKET/PATH?region=..., abs://ACCOUNT@CONTAINER/PATH,
 * gs://BUCKET/PATH, sftp://USER:PW@HOST:PORT/PATH, nats://HOST:PORT/BUCKET, webdav(s)://HOST/PATH,
 * oss://BUCKET/PATH.
 *
 * The pieces only; what they mean for a type is decided in place.c. %XX is decoded in user,
 * password and path. Pure; strings live in the arena.
 */
#ifndef HF_CONFIG_URL_H
#define HF_CONFIG_URL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

struct hf_url {
    const char *scheme;   /* lower case */
    const char *user;     /* NULL without */
    const char *password; /* NULL without */
    const char *host;     /* with port; may be empty */
    const char *path;     /* with its leading '/', may be empty */
    const char *query;    /* behind '?', NULL without */
};

/* True if text begins like a URL: "word://". */
bool hf_url_is(const char *text);
HF_MUST enum hf_code hf_url_parse(struct hf_arena *arena, const char *text, struct hf_url *out,
                                  struct hf_err *err);
/* The value of a query option ("a=1&b=2"), decoded; NULL without. */
const char *hf_url_option(struct hf_arena *arena, const struct hf_url *url, const char *name);

#endif
