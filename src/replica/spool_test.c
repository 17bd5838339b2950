/* Which spooled files one upload takes. The rest of the spool is tested from outside, by engines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "replica/db.h"

struct file {
    int level;
    uint64_t min, max, size;
};

static void test_chains(void **state)
{
    (void)state;
    static const struct file plain[] = {{0, 4, 4, 1}, {0, 5, 5, 1}, {0, 6, 9, 1}, {0, 10, 10, 1}};
    static const struct file heavy[] = {
        {0, 1, 1, 5}, {0, 2, 2, HF_LIMIT_FOLD_BYTES}, {0, 3, 3, 5}, {0, 4, 4, 5}};
    static const struct file chain[] = {
        {0, 7, 7, 1}, {0, 8, 8, 1}, {9, 1, 9, 1}, {0, 10, 10, 1}, {0, 11, 11, 1}};
    static const struct {
        const char *why;
        const struct file *files;
        size_t n;
        uint64_t position, first, last; /* 0: nothing */
    } rows[] = {
        {"all that leads on", plain, 4, 3, 4, 10},
        {"from the middle", plain, 4, 4, 5, 10},
        {"from inside a file of several TXIDs", plain, 4, 7, 6, 10},
        {"nothing is lacking", plain, 4, 10, 0, 0},
        {"it no longer leads there", plain, 4, 2, 0, 0},
        {"nothing at all", plain, 4, 0, 0, 0},
        {"no more bytes than a retry may repeat", heavy, 4, 0, 1, 2},
        {"then the rest", heavy, 4, 2, 3, 4},
        {"nothing is merged across a new chain's begin", chain, 5, 6, 7, 8},
        {"that goes alone", chain, 5, 8, 1, 9},
        {"and serves everybody behind it", chain, 5, 2, 1, 9},
        {"and those with nothing", chain, 5, 0, 1, 9},
        {"behind it as usual", chain, 5, 9, 10, 11},
    };
    struct db *db = hf_calloc(1, sizeof(*db));
    struct engine *e = hf_calloc(1, sizeof(*e));
    db->e = e;
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_ltx_list got = {NULL, 0, 0};
        db->spool.files.len = 0;
        for (size_t k = 0; k < rows[i].n; k++) {
            const struct file *f = &rows[i].files[k];
            db_spool_push(db, f->level, f->min, f->max, f->size, 1);
        }
        db_spool_chain(db, rows[i].position, &got);
        uint64_t first = got.len == 0 ? 0 : got.items[0].min_txid;
        uint64_t last = got.len == 0 ? 0 : got.items[got.len - 1].max_txid;
        hf_ltx_list_deinit(&got);
        if (first != rows[i].first || last != rows[i].last)
            fail_msg("%s: %d to %d", rows[i].why, (int)first, (int)last);
    }
    hf_ltx_list_deinit(&db->spool.files);
    hf_free(db);
    hf_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_chains)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
