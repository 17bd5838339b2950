/*
 * A set of database pages, the newest image of each: what capture collects between two uploads.
 *
 * Pages live in chunks of HF_PAGESET_CHUNK bytes; a page may also be remembered only by the WAL
 * frame that holds it ("reference"), so that one huge transaction needs 12 bytes a page instead of
 * the page. A reference is only good while the log can't be restarted. One owner at a time: the
 * capture thread fills a set and hands it over to a worker, which drains and frees it.
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

/* One page of a sorted set. data NULL: read frame of the log. */
struct hf_pageset_item {
    uint32_t pgno;
    uint32_t frame;
    const uint8_t *data;
};

struct hf_pageset *hf_pageset_new(uint32_t page_size);
void hf_pageset_free(struct hf_pageset *s);

/* Stores a copy of page (page_size bytes) as the newest image of pgno; frame: where it came from, 0
 * for the main file. */
void hf_pageset_put(struct hf_pageset *s, uint32_t pgno, uint32_t frame, const void *page);
/* Stores only the frame number. */
void hf_pageset_put_ref(struct hf_pageset *s, uint32_t pgno, uint32_t frame);
bool hf_pageset_has(const struct hf_pageset *s, uint32_t pgno);
/* Drops every page above commit. */
void hf_pageset_truncate(struct hf_pageset *s, uint32_t commit);

uint32_t hf_pageset_page_size(const struct hf_pageset *s);
size_t hf_pageset_count(const struct hf_pageset *s);
/* Memory held by page images. */
size_t hf_pageset_bytes(const struct hf_pageset *s);
/* Some pages are references. */
bool hf_pageset_has_refs(const struct hf_pageset *s);

/* Sorts by page number; afterwards only _item may be called. A second call does nothing. */
void hf_pageset_sort(struct hf_pageset *s);
/* i < count, after _sort. */
struct hf_pageset_item hf_pageset_item(const struct hf_pageset *s, size_t i);

#endif
