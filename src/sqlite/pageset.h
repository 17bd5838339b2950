/*
 * A set of database pages, the newest image of each: what capture collects between two uploads.
 *
 * Pages live in chunks of HF_PAGESET_CHUNK bytes. What is too much for memory goes to a spill file
 * (without a name, gone with the set), 12 bytes a page stay in memory; so the log can be let go of
 * although its pages were not shipped yet. What is too much for that, too, or can't be spilled, is
 * remembered by the WAL frame that holds it ("reference"): only good while the log can't be
 * restarted. One owner at a time: the capture thread fills a set and hands it over to a worker,
 * which drains and frees it.
 */
#ifndef HF_SQLITE_PAGESET_H
#define HF_SQLITE_PAGESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum { HF_PAGESET_CHUNK = 64 * 1024 };

struct hf_pageset;

/* One page of a sorted set. data NULL: hf_pageset_read_spilled if is_spilled, else read frame of
 * the log. */
struct hf_pageset_item {
    uint32_t pgno;
    uint32_t frame;
    bool is_spilled;
    const uint8_t *data;
};

struct hf_pageset *hf_pageset_new(uint32_t page_size);
/* Where a spill file may be made (created if it is missing), NULL for nowhere; borrowed while the
 * set lives. */
void hf_pageset_set_spill_dir(struct hf_pageset *s, const char *dir);
void hf_pageset_free(struct hf_pageset *s);

/* Stores a copy of page (page_size bytes) as the newest image of pgno; frame: where it came from, 0
 * for the main file. */
void hf_pageset_put(struct hf_pageset *s, uint32_t pgno, uint32_t frame, const void *page);
/* Stores a copy of page in the spill file, unless the set has an image of pgno in memory, which is
 * replaced. HF_E_UNSUPPORTED without a directory; after an I/O error pgno must be put another way.
 */
HF_MUST enum hf_code hf_pageset_put_spilled(struct hf_pageset *s, uint32_t pgno, const void *page,
                                            struct hf_err *err);
/* Stores only the frame number. */
void hf_pageset_put_ref(struct hf_pageset *s, uint32_t pgno, uint32_t frame);
bool hf_pageset_has(const struct hf_pageset *s, uint32_t pgno);
/* Drops every page above commit. */
void hf_pageset_truncate(struct hf_pageset *s, uint32_t commit);

uint32_t hf_pageset_page_size(const struct hf_pageset *s);
size_t hf_pageset_count(const struct hf_pageset *s);
/* Memory held by page images. */
size_t hf_pageset_bytes(const struct hf_pageset *s);
/* Bytes in the spill file. */
uint64_t hf_pageset_spilled_bytes(const struct hf_pageset *s);
/* Some pages are references. */
bool hf_pageset_has_refs(const struct hf_pageset *s);

/* Sorts by page number; afterwards only _item may be called. A second call does nothing. */
void hf_pageset_sort(struct hf_pageset *s);
/* i < count, after _sort. */
struct hf_pageset_item hf_pageset_item(const struct hf_pageset *s, size_t i);
/* The image of spilled item i into page. HF_E_CORRUPT if the file gives back something else than
 * was written. */
HF_MUST enum hf_code hf_pageset_read_spilled(struct hf_pageset *s, size_t i, void *page,
                                             struct hf_err *err);

#endif
