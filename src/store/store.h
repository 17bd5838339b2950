/*
 * Objects by name: what a replica is kept in. One interface, several back ends.
 *
 * Names are relative, '/'-separated, without "." or ".." parts, but that "../" at the begin leads
 * out of the place the store was opened at: to what several replicas share (docs/formats/pack.md).
 * Writes are all or nothing; with HF_STORE_CREATE_ONLY an existing name is HF_E_EXISTS and nothing
 * changes: two writers that meet on one name find out. A committed object is durable. Calls block
 * and may be made from any thread; a reader or writer handle belongs to one thread at a time.
 */
#ifndef HF_STORE_STORE_H
#define HF_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct hf_config_replica;
struct hf_store;
struct hf_store_writer;
struct hf_store_reader;

struct hf_store_object {
    const char *name; /* relative to the listed prefix; valid during the callback */
    uint64_t size;
    int64_t time_ms; /* the time given at put, as far as hf_store_times() says */
};

/* What the times of head and list are worth. */
enum hf_store_times {
    HF_STORE_TIMES_EXACT,   /* the time given at put */
    HF_STORE_TIMES_SECONDS, /* the same, rounded down to whole seconds */
    HF_STORE_TIMES_UPLOAD,  /* exact from head; lists tell when the object was put */
};

/* "file:///var/backups/app", a plain path, or a URL of another type, read as in a configuration.
 * HF_E_UNSUPPORTED names the types there are; HF_E_INVALID for a malformed one. Nothing is created
 * until the first put, and no server is asked until the first call. */
HF_MUST enum hf_code hf_store_open(const char *url, struct hf_store **out, struct hf_err *err);
/* A replica as configured: with what a URL can't say (keys, host key...). conf is not kept. */
HF_MUST enum hf_code hf_store_open_replica(const struct hf_config_replica *conf,
                                           struct hf_store **out, struct hf_err *err);
void hf_store_close(struct hf_store *s);
/* The URL without secrets, for messages; "file". */
const char *hf_store_url(const struct hf_store *s);
const char *hf_store_type(const struct hf_store *s);
/* Its objects are files of this machine: reading one costs no request. */
bool hf_store_is_local(const struct hf_store *s);
enum hf_store_times hf_store_times(const struct hf_store *s);
/* What is put is encrypted here, before it goes to the store. */
bool hf_store_is_encrypted(const struct hf_store *s);
/* A directory to watch for new objects under name, or NULL when the back end has none. Caller
 * frees. */
char *hf_store_watch_dir(const struct hf_store *s, const char *name);

enum { HF_STORE_CREATE_ONLY = 1 };

/* time_ms: stored with the object. */
HF_MUST enum hf_code hf_store_put(struct hf_store *s, const char *name, const void *data,
                                  size_t len, int flags, int64_t time_ms, struct hf_err *err);
/* Streaming put: _writer_new, _write…, then _commit or _abort (both free the writer). */
HF_MUST enum hf_code hf_store_writer_new(struct hf_store *s, const char *name, int flags,
                                         int64_t time_ms, struct hf_store_writer **out,
                                         struct hf_err *err);
HF_MUST enum hf_code hf_store_writer_write(struct hf_store_writer *w, const void *data, size_t len,
                                           struct hf_err *err);
HF_MUST enum hf_code hf_store_writer_commit(struct hf_store_writer *w, struct hf_err *err);
void hf_store_writer_abort(struct hf_store_writer *w);

/* Sequential read from offset on. HF_E_DENIED when the object is encrypted and the store has no
 * key, or not the right one; also from the first read. */
HF_MUST enum hf_code hf_store_reader_new(struct hf_store *s, const char *name, uint64_t offset,
                                         struct hf_store_reader **out, struct hf_err *err);
/* *got < len only at the end. */
HF_MUST enum hf_code hf_store_reader_read(struct hf_store_reader *r, void *buf, size_t len,
                                          size_t *got, struct hf_err *err);
void hf_store_reader_free(struct hf_store_reader *r);
/* Keeping this reader open costs a little memory and nothing else: no descriptor, no connection.
 * Opening it again would cost a request. */
bool hf_store_reader_is_light(const struct hf_store_reader *r);
/* Gives up what it holds of descriptors and connections until the next read goes on where it was.
 * False: it can't, free it and open it again. */
bool hf_store_reader_rest(struct hf_store_reader *r);

/* Parts of objects can be read side by side, each at the price of one request. */
bool hf_store_has_ranges(const struct hf_store *s);
/* Only then: len bytes from offset on into out (emptied first; its memory is used again), fewer
 * only at the object's end. */
HF_MUST enum hf_code hf_store_read_range(struct hf_store *s, const char *name, uint64_t offset,
                                         size_t len, struct hf_buf *out, struct hf_err *err);

HF_MUST enum hf_code hf_store_head(struct hf_store *s, const char *name, uint64_t *size,
                                   int64_t *time_ms, struct hf_err *err);
typedef enum hf_code hf_store_list_fn(void *arg, const struct hf_store_object *o,
                                      struct hf_err *err);
/* The objects directly under prefix ("ltx/0"), ascending by name, names > start_after (NULL = all);
 * sub-prefixes are not descended into. A missing prefix is an empty list. */
HF_MUST enum hf_code hf_store_list(struct hf_store *s, const char *prefix, const char *start_after,
                                   hf_store_list_fn *fn, void *arg, struct hf_err *err);
/* Everything below prefix at any depth, ascending: one request per 1,000 or 5,000 objects. Only
 * where hf_store_has_deep_lists() says so. */
bool hf_store_has_deep_lists(const struct hf_store *s);
HF_MUST enum hf_code hf_store_list_deep(struct hf_store *s, const char *prefix,
                                        hf_store_list_fn *fn, void *arg, struct hf_err *err);
/* The sub-prefixes directly under prefix (directories), ascending. */
HF_MUST enum hf_code hf_store_list_prefixes(struct hf_store *s, const char *prefix,
                                            hf_store_list_fn *fn, void *arg, struct hf_err *err);
/* Missing objects are success. */
HF_MUST enum hf_code hf_store_delete(struct hf_store *s, const char *const *names, size_t n,
                                     struct hf_err *err);

/*
 * Conditional writes, for what two processes must agree on: small objects with a version.
 * HF_E_UNSUPPORTED for stores without versions.
 */
#define HF_STORE_ETAG 128 /* bytes of a version's text, NUL included */

/* etag NULL: creates, HF_E_EXISTS if the name is there. Else replaces that version: HF_E_CONFLICT
 * if there is another or none. etag_out gets the new version. A lost answer is resolved by reading
 * back; HF_E_IO and the like: not known, ask again. */
HF_MUST enum hf_code hf_store_put_if(struct hf_store *s, const char *name, const void *data,
                                     size_t len, const char *etag, char etag_out[HF_STORE_ETAG],
                                     struct hf_err *err);
/* The whole object, appended to out (HF_E_LIMIT above its maximum), and its version. */
HF_MUST enum hf_code hf_store_get(struct hf_store *s, const char *name, struct hf_buf *out,
                                  char etag_out[HF_STORE_ETAG], struct hf_err *err);
/*
 * Whether the service honours create-only puts: three requests under probe/, once a service and
 * process, and not at all where there is nothing to try. HF_E_UNSUPPORTED: it does not, and the
 * replica does not allow that; HF_OK with *is_ignored: it does. Other codes: it could not be asked.
 * The first create-only put asks by itself.
 */
HF_MUST enum hf_code hf_store_check_create_only(struct hf_store *s, bool *is_ignored,
                                                struct hf_err *err);
/* Tries under probe/ whether conditional writes hold, two writers at once included, and removes
 * what it wrote. HF_E_UNSUPPORTED says what does not; other codes: it could not be tried. */
HF_MUST enum hf_code hf_store_selftest(struct hf_store *s, struct hf_err *err);

#endif
