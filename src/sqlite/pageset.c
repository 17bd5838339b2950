#include "sqlite/pageset.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "ltx/crc64.h"
#include "os/file.h"

enum { FREE = 0, INITIAL_CAP = 64 };
#define NO_DATA 0xffffffffu
#define SPILLED 0x80000000u

struct entry {
    uint32_t pgno;  /* FREE: unused slot of the table */
    uint32_t frame; /* of a spilled page: half of its CRC-64 instead */
    uint32_t slot;  /* page image; SPILLED | place in the spill file; NO_DATA for a reference */
};

struct hf_pageset {
    uint32_t page_size;
    uint32_t per_chunk;
    struct entry *table; /* open addressing, cap a power of two; packed and sorted after _sort */
    size_t cap;
    size_t len;
    size_t refs;
    uint8_t **chunks;
    size_t n_chunks;
    uint32_t n_slots; /* images handed out */
    const char *spill_dir;
    struct hf_file spill; /* opened when needed */
    uint32_t n_spilled;   /* places handed out */
    bool is_sorted;
};

struct hf_pageset *hf_pageset_new(uint32_t page_size)
{
    struct hf_pageset *s = hf_calloc(1, sizeof(*s));
    s->page_size = page_size;
    s->spill = (struct hf_file)HF_FILE_CLOSED;
    s->per_chunk = page_size >= HF_PAGESET_CHUNK ? 1 : HF_PAGESET_CHUNK / page_size;
    return s;
}

void hf_pageset_set_spill_dir(struct hf_pageset *s, const char *dir)
{
    s->spill_dir = dir;
}

void hf_pageset_free(struct hf_pageset *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_chunks; i++)
        hf_free(s->chunks[i]);
    hf_file_close(&s->spill);
    hf_free(s->chunks);
    hf_free(s->table);
    hf_free(s);
}

static size_t slot_of(const struct hf_pageset *s, uint32_t pgno)
{
    size_t i = (pgno * 2654435761u) & (s->cap - 1);
    while (s->table[i].pgno != FREE && s->table[i].pgno != pgno)
        i = (i + 1) & (s->cap - 1);
    return i;
}

static void grow(struct hf_pageset *s)
{
    struct entry *old = s->table;
    size_t old_cap = s->cap;
    s->cap = old_cap == 0 ? INITIAL_CAP : old_cap * 2;
    s->table = hf_calloc(s->cap, sizeof(*s->table));
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].pgno != FREE)
            s->table[slot_of(s, old[i].pgno)] = old[i];
    }
    hf_free(old);
}

static uint8_t *image(const struct hf_pageset *s, uint32_t slot)
{
    return s->chunks[slot / s->per_chunk] + (size_t)(slot % s->per_chunk) * s->page_size;
}

static uint32_t new_image(struct hf_pageset *s)
{
    uint32_t slot = s->n_slots++;
    if (slot / s->per_chunk >= s->n_chunks) {
        s->chunks = hf_realloc(s->chunks, s->n_chunks + 1, sizeof(*s->chunks));
        s->chunks[s->n_chunks++] = hf_malloc((size_t)s->per_chunk * s->page_size);
    }
    return slot;
}

/* The entry of pgno, made as a reference if it is new. */
static struct entry *entry_of(struct hf_pageset *s, uint32_t pgno)
{
    hf_assert(pgno != 0 && !s->is_sorted);
    if (s->cap == 0 || s->len * 4 >= s->cap * 3)
        grow(s);
    struct entry *e = &s->table[slot_of(s, pgno)];
    if (e->pgno == FREE) {
        *e = (struct entry){.pgno = pgno, .slot = NO_DATA};
        s->len++;
        s->refs++;
    }
    return e;
}

static bool is_spilled(const struct entry *e)
{
    return e->slot != NO_DATA && (e->slot & SPILLED) != 0;
}

void hf_pageset_put(struct hf_pageset *s, uint32_t pgno, uint32_t frame, const void *page)
{
    struct entry *e = entry_of(s, pgno);
    if (e->slot == NO_DATA)
        s->refs--;
    if (e->slot == NO_DATA || is_spilled(e))
        e->slot = new_image(s);
    e->frame = frame;
    memcpy(image(s, e->slot), page, s->page_size);
}

static enum hf_code open_spill(struct hf_pageset *s, struct hf_err *err)
{
    if (s->spill_dir == NULL)
        return hf_err_set(err, HF_E_UNSUPPORTED, "no directory for a spill file");
    enum hf_code rc = hf_file_open_temp(s->spill_dir, &s->spill, err);
    if (rc != HF_E_NOT_FOUND)
        return rc;
    HF_TRY(hf_path_mkdirs(s->spill_dir, 0700, err));
    return hf_file_open_temp(s->spill_dir, &s->spill, err);
}

static uint32_t page_crc(const struct hf_pageset *s, const void *page)
{
    return (uint32_t)hf_crc64(0, page, s->page_size);
}

static const struct entry *find(const struct hf_pageset *s, uint32_t pgno)
{
    if (s->cap == 0)
        return NULL;
    const struct entry *e = &s->table[slot_of(s, pgno)];
    return e->pgno == pgno ? e : NULL;
}

/* A page that was spilled before is written over in its place. */
enum hf_code hf_pageset_put_spilled(struct hf_pageset *s, uint32_t pgno, const void *page,
                                    struct hf_err *err)
{
    const struct entry *old = find(s, pgno);
    bool has_place = old != NULL && is_spilled(old);
    if (old != NULL && old->slot != NO_DATA && !has_place) {
        hf_pageset_put(s, pgno, old->frame, page);
        return HF_OK;
    }
    if (s->spill.fd < 0)
        HF_TRY(open_spill(s, err));
    uint32_t place = has_place ? old->slot & ~SPILLED : s->n_spilled;
    hf_assert(place < SPILLED - 1);
    HF_TRY(hf_file_write_at(&s->spill, page, s->page_size, (uint64_t)place * s->page_size, err));
    struct entry *e = entry_of(s, pgno);
    if (e->slot == NO_DATA)
        s->refs--;
    if (!has_place)
        s->n_spilled++;
    e->slot = SPILLED | place;
    e->frame = page_crc(s, page);
    return HF_OK;
}

void hf_pageset_put_ref(struct hf_pageset *s, uint32_t pgno, uint32_t frame)
{
    struct entry *e = entry_of(s, pgno);
    if (e->slot != NO_DATA) { /* the older image stays allocated until the set goes */
        e->slot = NO_DATA;
        s->refs++;
    }
    e->frame = frame;
}

bool hf_pageset_has(const struct hf_pageset *s, uint32_t pgno)
{
    hf_assert(!s->is_sorted);
    return s->cap > 0 && s->table[slot_of(s, pgno)].pgno == pgno;
}

/* Packs the table to the front, leaving out pages above commit. */
static void pack(struct hf_pageset *s, uint32_t commit)
{
    size_t n = 0;
    s->refs = 0;
    for (size_t i = 0; i < s->cap; i++) {
        struct entry e = s->table[i];
        if (e.pgno == FREE || e.pgno > commit)
            continue;
        s->refs += e.slot == NO_DATA;
        s->table[n++] = e;
    }
    s->len = n;
}

void hf_pageset_truncate(struct hf_pageset *s, uint32_t commit)
{
    hf_assert(!s->is_sorted);
    size_t above = 0;
    for (size_t i = 0; i < s->cap; i++)
        above += s->table[i].pgno > commit;
    if (above == 0)
        return;
    pack(s, commit);
    struct entry *old = s->table;
    size_t n = s->len;
    s->table = hf_calloc(s->cap, sizeof(*s->table));
    for (size_t i = 0; i < n; i++)
        s->table[slot_of(s, old[i].pgno)] = old[i];
    hf_free(old);
}

uint32_t hf_pageset_page_size(const struct hf_pageset *s)
{
    return s->page_size;
}

size_t hf_pageset_count(const struct hf_pageset *s)
{
    return s->len;
}

size_t hf_pageset_bytes(const struct hf_pageset *s)
{
    return s->n_chunks * s->per_chunk * s->page_size;
}

uint64_t hf_pageset_spilled_bytes(const struct hf_pageset *s)
{
    return (uint64_t)s->n_spilled * s->page_size;
}

bool hf_pageset_has_refs(const struct hf_pageset *s)
{
    return s->refs > 0;
}

static int by_pgno(const void *a, const void *b)
{
    const struct entry *x = a;
    const struct entry *y = b;
    return x->pgno < y->pgno ? -1 : x->pgno > y->pgno;
}

void hf_pageset_sort(struct hf_pageset *s)
{
    if (s->is_sorted)
        return;
    pack(s, UINT32_MAX);
    if (s->len > 1)
        qsort(s->table, s->len, sizeof(*s->table), by_pgno);
    s->is_sorted = true;
}

struct hf_pageset_item hf_pageset_item(const struct hf_pageset *s, size_t i)
{
    hf_assert(s->is_sorted && i < s->len);
    const struct entry *e = &s->table[i];
    return (struct hf_pageset_item){
        .pgno = e->pgno,
        .frame = e->frame,
        .is_spilled = is_spilled(e),
        .data = (e->slot & SPILLED) != 0 ? NULL : image(s, e->slot),
    };
}

enum hf_code hf_pageset_read_spilled(struct hf_pageset *s, size_t i, void *page, struct hf_err *err)
{
    hf_assert(s->is_sorted && i < s->len && is_spilled(&s->table[i]));
    const struct entry *e = &s->table[i];
    uint64_t at = (uint64_t)(e->slot & ~SPILLED) * s->page_size;
    HF_TRY(hf_file_read_at(&s->spill, page, s->page_size, at, err));
    if (page_crc(s, page) != e->frame)
        return hf_err_set(err, HF_E_CORRUPT, "page %u came back damaged from the spill file in %s",
                          e->pgno, s->spill_dir);
    return HF_OK;
}
