/*
 * Encryption in front of a store of files: the contract every store passes, and what is said when
 * the key is wrong or missing, when an object is plain, swapped or damaged, when keys change.
 */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "os/file.h"
#include "store/contract_test.h"
#include "store/crypt.h"
#include "store/seal.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static char top[64];
static char url[128];

static const char *fresh_url(void *arg)
{
    (void)arg;
    snprintf(top, sizeof(top), "/tmp/holdfast-crypt-XXXXXX");
    assert_non_null(mkdtemp(top));
    snprintf(url, sizeof(url), "file://%s/replica", top);
    return url;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void done(void *arg)
{
    (void)arg;
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
    (void)state;
    fresh_url(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    done(NULL);
    return 0;
}

/* The replica of a test; keys NULL: without encryption. */
struct how {
    const char *keys;
    bool allow_plain;
    bool bind_path;
    const char *dir; /* NULL: "replica" */
};

static struct hf_store *open_with(struct how how)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = NULL;
    HF_AUTO_FREE char *path = hf_asprintf("%s/%s", top, how.dir == NULL ? "replica" : how.dir);
    struct hf_config_replica conf = {.type = HF_REPLICA_FILE, .path = path};
    if (how.keys != NULL) {
        setenv("CRYPT_TEST_KEYS", how.keys, 1);
        conf.encryption = (struct hf_config_encryption){.enabled = true,
                                                        .key_env = "CRYPT_TEST_KEYS",
                                                        .allow_plain = how.allow_plain,
                                                        .bind_path = how.bind_path};
    }
    if (hf_store_open_replica(&conf, &s, &err) != HF_OK)
        fail_msg("%s", err.text);
    return s;
}

static void put_with(struct how how, const char *name, const char *text)
{
    struct hf_store *s = open_with(how);
    assert_int_equal(hf_store_put(s, name, text, strlen(text), 0, 1000, NULL), HF_OK);
    hf_store_close(s);
}

static enum hf_code read_with(struct how how, const char *name, char out[64], struct hf_err *err)
{
    struct hf_store *s = open_with(how);
    struct hf_store_reader *r = NULL;
    size_t got = 0;
    memset(out, 0, 64);
    enum hf_code rc = hf_store_reader_new(s, name, 0, &r, err);
    if (rc == HF_OK) {
        rc = hf_store_reader_read(r, out, 63, &got, err);
        hf_store_reader_free(r);
    }
    hf_store_close(s);
    return rc;
}

static char *stored(const char *name)
{
    return hf_asprintf("%s/replica/%s", top, name);
}

static void test_who_can_read_what(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        struct how writer;
        struct how reader;
        enum hf_code want;
        const char *says;
    } rows[] = {
        {"the same key", {.keys = KEY_A}, {.keys = KEY_A}, HF_OK, ""},
        {"another key", {.keys = KEY_A}, {.keys = KEY_B}, HF_E_DENIED, "not with ours: "},
        {"no key", {.keys = KEY_A}, {.keys = NULL}, HF_E_DENIED, "no key is given"},
        {"plain", {.keys = NULL}, {.keys = KEY_A}, HF_E_DENIED, "not encrypted"},
        {"plain allowed", {.keys = NULL}, {.keys = KEY_A, .allow_plain = true}, HF_OK, ""},
        {"sealed, too", {.keys = KEY_A}, {.keys = KEY_A, .allow_plain = true}, HF_OK, ""},
        {"an old key", {.keys = KEY_A}, {.keys = KEY_B "\n" KEY_A}, HF_OK, ""},
        {"the new key", {.keys = KEY_B "\n" KEY_A}, {.keys = KEY_B}, HF_OK, ""},
        {"only the old key", {.keys = KEY_B "\n" KEY_A}, {.keys = KEY_A}, HF_E_DENIED, "not with"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        char text[64];
        put_with(rows[i].writer, "ltx/0/a",
                 "a text that is longer than the header of a sealed one");
        enum hf_code rc = read_with(rows[i].reader, "ltx/0/a", text, &err);
        if (rc != rows[i].want || strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: %s %s", rows[i].why, hf_code_word(rc), err.text);
        if (rc == HF_OK)
            assert_string_equal(text, "a text that is longer than the header of a sealed one");
        else
            assert_non_null(strstr(err.text, "ltx/0/a"));
    }
}

static void test_text_is_not_in_the_file(void **state)
{
    (void)state;
    HF_AUTO_FREE char *path = stored("ltx/0/a");
    HF_AUTO_FREE char *data = NULL;
    size_t len = 0;
    put_with((struct how){.keys = KEY_A}, "ltx/0/a", "find this");
    assert_int_equal(hf_path_read(path, 4096, &data, &len, NULL), HF_OK);
    assert_true(hf_seal_is_sealed(data, len));
    assert_int_equal(len, hf_seal_size(9));
    assert_null(memmem(data, len, "find", 4));
}

static void test_swapped_and_damaged(void **state)
{
    (void)state;
    const struct how how = {.keys = KEY_A};
    struct hf_err err = HF_ERR_INIT;
    char text[64];
    HF_AUTO_FREE char *a = stored("ltx/0/a");
    HF_AUTO_FREE char *b = stored("ltx/0/b");
    put_with(how, "ltx/0/a", "one");
    put_with(how, "ltx/0/b", "two");
    assert_int_equal(rename(a, b), 0);
    assert_int_equal(read_with(how, "ltx/0/b", text, &err), HF_E_CORRUPT);
    assert_non_null(strstr(err.text, "another object under this name"));
    put_with(how, "ltx/0/a", "one");
    assert_int_equal(truncate(a, HF_SEAL_HEADER + 5), 0);
    assert_int_equal(read_with(how, "ltx/0/a", text, &err), HF_E_CORRUPT);
    assert_int_equal(truncate(a, HF_SEAL_HEADER - 5), 0);
    assert_int_equal(read_with(how, "ltx/0/a", text, &err), HF_E_CORRUPT);
}

/* Nothing is read twice where an end is exactly full: a byte behind it still shows. */
static void test_bytes_behind_a_full_end(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_with((struct how){.keys = KEY_A});
    HF_AUTO_FREE char *path = stored("a");
    HF_AUTO_FREE uint8_t *data = hf_calloc(1, HF_SEAL_CHUNK + 10);
    struct hf_store_reader *r = NULL;
    size_t got = 0;
    assert_int_equal(hf_store_put(s, "a", data, HF_SEAL_CHUNK, 0, 1, &err), HF_OK);
    FILE *f = fopen(path, "a");
    assert_non_null(f);
    fputc('x', f);
    fclose(f);
    assert_int_equal(hf_store_reader_new(s, "a", 0, &r, &err), HF_OK);
    assert_int_equal(hf_store_reader_read(r, data, HF_SEAL_CHUNK + 10, &got, &err), HF_E_CORRUPT);
    assert_non_null(strstr(err.text, "bytes behind its end"));
    hf_store_reader_free(r);
    hf_store_close(s);
}

static void test_moved_replica(void **state)
{
    (void)state;
    static const struct {
        bool is_bound;
        enum hf_code want;
    } rows[] = {{false, HF_OK}, {true, HF_E_CORRUPT}};
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char text[64];
        HF_AUTO_FREE char *from = hf_asprintf("%s/replica", top);
        HF_AUTO_FREE char *to = hf_asprintf("%s/moved%zu", top, i);
        HF_AUTO_FREE char *dir = hf_asprintf("moved%zu", i);
        put_with((struct how){.keys = KEY_A, .bind_path = rows[i].is_bound}, "a", "text");
        assert_int_equal(read_with((struct how){.keys = KEY_A}, "a", text, NULL), HF_OK);
        assert_int_equal(rename(from, to), 0);
        struct how there = {.keys = KEY_A, .dir = dir};
        assert_int_equal(read_with(there, "a", text, NULL), rows[i].want);
    }
}

/* Names that lead out of a replica: packs have one name for all, what is put into another replica
 * opens there, however the paths are called. */
static void test_seen_from_another_replica(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        const char *name;
        const char *own_dir;
        const char *own_name;
    } rows[] = {
        {"a", "../b/ltx/0/x", "b", "ltx/0/x"},
        {"a", "../a/ltx/0/x", "a", "ltx/0/x"},
        {"a/b/c", "../../../d/ltx/e/ltx/0/x", "d/ltx/e", "ltx/0/x"},
        {"a", "../ltx/ltx/0/x", "ltx", "ltx/0/x"},
        {"a/b", "../../packs/x", "c", "../packs/x"},
        {"a/ltx/0", "../packs/x", "a/ltx/1", "../packs/x"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char text[64];
        struct how there = {.keys = KEY_A, .dir = rows[i].own_dir};
        put_with((struct how){.keys = KEY_A, .dir = rows[i].from}, rows[i].name, "text");
        assert_int_equal(read_with(there, rows[i].own_name, text, NULL), HF_OK);
        assert_string_equal(text, "text");
    }
}

/* A reader that rests has no descriptor and goes on where it was, within chunks and at their ends;
 * so does one of a plain object. */
static void test_resting_reader(void **state)
{
    (void)state;
    enum { LEN = HF_SEAL_CHUNK * 3 + 100, STEP = 5000 };
    static const struct how writers[] = {{.keys = KEY_A}, {.keys = NULL}};
    HF_AUTO_FREE uint8_t *data = hf_calloc(1, LEN);
    HF_AUTO_FREE uint8_t *back = hf_calloc(1, LEN + STEP);
    for (size_t i = 0; i < LEN; i++)
        data[i] = (uint8_t)(i % 253);
    for (size_t i = 0; i < HF_ARRAY_LEN(writers); i++) {
        struct hf_store_reader *r = NULL;
        size_t at = 0;
        size_t got = STEP;
        struct hf_store *w = open_with(writers[i]);
        assert_int_equal(hf_store_put(w, "a", data, LEN, 0, 1, NULL), HF_OK);
        hf_store_close(w);
        struct hf_store *s = open_with((struct how){.keys = KEY_A, .allow_plain = true});
        assert_int_equal(hf_store_reader_new(s, "a", 0, &r, NULL), HF_OK);
        for (; got == STEP; at += got) {
            assert_true(hf_store_reader_rest(r));
            assert_true(hf_store_reader_is_light(r));
            assert_int_equal(hf_store_reader_read(r, back + at, STEP, &got, NULL), HF_OK);
        }
        assert_int_equal(at, LEN);
        assert_memory_equal(back, data, LEN);
        hf_store_reader_free(r);
        hf_store_close(s);
    }
}

static enum hf_code add_size(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    (void)err;
    *(uint64_t *)arg += o->size;
    return HF_OK;
}

/* Where plain ones may be among them, sizes are those stored: never too small. */
static void test_sizes(void **state)
{
    (void)state;
    put_with((struct how){.keys = KEY_A}, "a", "text");
    for (int i = 0; i < 2; i++) {
        struct hf_store *s = open_with((struct how){.keys = KEY_A, .allow_plain = i == 1});
        uint64_t size = 0;
        uint64_t listed = 0;
        assert_int_equal(hf_store_head(s, "a", &size, NULL, NULL), HF_OK);
        assert_int_equal(hf_store_list(s, "", NULL, add_size, &listed, NULL), HF_OK);
        assert_int_equal(size, i == 0 ? 4 : hf_seal_size(4));
        assert_int_equal(listed, size);
        hf_store_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_can_read_what, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_is_not_in_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_swapped_and_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_behind_a_full_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seen_from_another_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resting_reader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
    };
    const struct hf_store_contract contract = {
        .name = "encrypted", .fresh_url = fresh_url, .done = done};
    int failed = cmocka_run_group_tests_name("crypt", tests, NULL, NULL);
    return failed + hf_store_contract_run_sealed(&contract);
}
