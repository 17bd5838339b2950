/*
 * Keys from files, the environment and programs: which texts are keys, which one writes, and that
 * no key gets into a message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/keyring.h"

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define OTHER "/////////////////////////////////////////////w=="
#define SECOND "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static struct hf_config_encryption from_env(const char *text)
{
    setenv("KEYRING_TEST", text, 1);
    return (struct hf_config_encryption){.enabled = true, .key_env = "KEYRING_TEST"};
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *text;
        size_t n;
        enum hf_code want;
    } rows[] = {
        {"hex", HEX, 1, HF_OK},
        {"base64", BASE64 "\n", 1, HF_OK},
        {"comments and blanks", "# one\n\n  " BASE64 " # mine\r\n#end", 1, HF_OK},
        {"two", BASE64 "\n" SECOND "\n", 2, HF_OK},
        {"48 bytes", OTHER, 0, HF_E_INVALID},
        {"a letter is missing", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh=", 0, HF_E_INVALID},
        {"a pass phrase", "correct horse battery staple", 0, HF_E_INVALID},
        {"only a comment", "# nothing\n", 0, HF_E_INVALID},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_config_encryption conf = from_env(rows[i].text);
        struct hf_keyring *ring = NULL;
        struct hf_err err = HF_ERR_INIT;
        enum hf_code rc = hf_keyring_get(&conf, &ring, &err);
        if (rc != rows[i].want || (rc == HF_OK && hf_keyring_count(ring) != rows[i].n))
            fail_msg("%s: %s %s", rows[i].why, hf_code_word(rc), err.text);
        if (rc != HF_OK && (strstr(err.text, "AAEC") != NULL || strstr(err.text, "horse") != NULL))
            fail_msg("%s: the text is shown: %s", rows[i].why, err.text);
        hf_keyring_put(ring);
    }
}

static void test_both_spellings_are_one_key(void **state)
{
    (void)state;
    struct hf_config_encryption conf = from_env(HEX "\n" BASE64 "\n" SECOND);
    struct hf_keyring *ring = NULL;
    char ids[80];
    assert_int_equal(hf_keyring_get(&conf, &ring, NULL), HF_OK);
    for (size_t i = 0; i < HF_KEY_BYTES; i++)
        assert_int_equal(hf_keyring_key(ring, 0)[i], i);
    assert_memory_equal(hf_keyring_key(ring, 0), hf_keyring_key(ring, 1), HF_KEY_BYTES);
    assert_memory_equal(hf_keyring_id(ring, 0), hf_keyring_id(ring, 1), HF_KEY_ID);
    assert_memory_not_equal(hf_keyring_id(ring, 0), hf_keyring_id(ring, 2), HF_KEY_ID);
    hf_keyring_ids(ring, ids, sizeof(ids));
    ids[HF_KEY_ID_TEXT - 1] = '\0';
    assert_ptr_equal(hf_keyring_find(ring, ids), hf_keyring_key(ring, 0));
    assert_null(hf_keyring_find(ring, "0000000000000000"));
    /* The id is no part of the key. */
    assert_memory_not_equal(hf_keyring_id(ring, 0), hf_keyring_key(ring, 0), HF_KEY_ID);
    hf_keyring_put(ring);
}

static void test_files_in_their_order(void **state)
{
    (void)state;
    char paths[2][32] = {"/tmp/holdfast-key-XXXXXX", "/tmp/holdfast-key-XXXXXX"};
    static const char *const texts[] = {SECOND, BASE64};
    const char *files[2];
    for (int i = 0; i < 2; i++) {
        int fd = mkstemp(paths[i]);
        assert_int_equal(write(fd, texts[i], strlen(texts[i])), strlen(texts[i]));
        close(fd);
        files[i] = paths[i];
    }
    struct hf_config_encryption conf = {.enabled = true, .key_files = {files, 2}};
    struct hf_keyring *ring = NULL;
    assert_int_equal(hf_keyring_get(&conf, &ring, NULL), HF_OK);
    assert_int_equal(hf_keyring_count(ring), 2);
    assert_int_equal(hf_keyring_key(ring, 0)[0], 1);
    assert_int_equal(hf_keyring_key(ring, 1)[1], 1);
    hf_keyring_put(ring);
    for (int i = 0; i < 2; i++)
        unlink(paths[i]);
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_keyring_get(&conf, &ring, &err), HF_E_NOT_FOUND);
    assert_non_null(strstr(err.text, paths[0]));
}

/* A fleet names one command: it runs once as long as anybody has the ring. */
static void test_command_runs_once(void **state)
{
    (void)state;
    char log[] = "/tmp/holdfast-key-XXXXXX";
    close(mkstemp(log));
    HF_AUTO_FREE char *command = hf_asprintf("echo run >>%s; echo %s", log, BASE64);
    struct hf_config_encryption conf = {.enabled = true, .key_command = command};
    struct hf_keyring *a = NULL;
    struct hf_keyring *b = NULL;
    assert_int_equal(hf_keyring_get(&conf, &a, NULL), HF_OK);
    assert_int_equal(hf_keyring_get(&conf, &b, NULL), HF_OK);
    assert_ptr_equal(a, b);
    assert_int_equal(hf_keyring_key(a, 0)[1], 1);
    hf_keyring_put(a);
    hf_keyring_put(b);
    FILE *f = fopen(log, "r");
    char text[64] = "";
    assert_non_null(f);
    assert_int_equal(fread(text, 1, sizeof(text) - 1, f), strlen("run\n"));
    fclose(f);
    unlink(log);
    assert_string_equal(text, "run\n");
}

static void test_command_fails(void **state)
{
    (void)state;
    struct hf_config_encryption conf = {.enabled = true, .key_command = "echo secret; exit 7"};
    struct hf_keyring *ring = NULL;
    struct hf_err err = HF_ERR_INIT;
    assert_int_equal(hf_keyring_get(&conf, &ring, &err), HF_E_IO);
    assert_non_null(strstr(err.text, "exit code 7"));
    assert_null(strstr(err.text, "secret"));
    conf.key_command = "head -c 200000 /dev/zero";
    assert_int_equal(hf_keyring_get(&conf, &ring, &err), HF_E_LIMIT);
    unsetenv("KEYRING_TEST");
    conf = (struct hf_config_encryption){.enabled = true, .key_env = "KEYRING_TEST"};
    assert_int_equal(hf_keyring_get(&conf, &ring, &err), HF_E_NOT_FOUND);
}

static void test_generate(void **state)
{
    (void)state;
    char text[HF_KEY_TEXT];
    char id[HF_KEY_ID_TEXT];
    char again[HF_KEY_TEXT];
    struct hf_keyring *ring = NULL;
    assert_int_equal(hf_keyring_generate(again, id, NULL), HF_OK);
    assert_int_equal(hf_keyring_generate(text, id, NULL), HF_OK);
    assert_string_not_equal(text, again);
    struct hf_config_encryption conf = from_env(text);
    assert_int_equal(hf_keyring_get(&conf, &ring, NULL), HF_OK);
    assert_non_null(hf_keyring_find(ring, id));
    hf_keyring_put(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_both_spellings_are_one_key),
        cmocka_unit_test(test_files_in_their_order),
        cmocka_unit_test(test_command_runs_once),
        cmocka_unit_test(test_command_fails),
        cmocka_unit_test(test_generate),
    };
    return cmocka_run_group_tests_name("keyring", tests, NULL, NULL);
}
