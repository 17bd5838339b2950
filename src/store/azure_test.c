/*
 * The Azure store against a real Azurite: the contract every store passes, versions, blocks,
 * listings of several pages, what is said when something is refused. Without AZURITE_MAIN (the
 * server's main.js, set by the build) there is nothing to run against: skipped.
 */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/child.h"
#include "store/azure_int.h"
#include "store/contract_test.h"

#define DEV_KEY                                                                                    \
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

static char top[64];
static int port;
static struct hf_child azurite;
static unsigned counter;
static char url[256];

static int free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

/* Creating the container is not the store's job: a request of our own. */
static int make_container(void)
{
    struct hf_config_replica conf = {.type = HF_REPLICA_ABS, .url = "abs://devstoreaccount1@con/x"};
    HF_AUTO_FREE char *endpoint = hf_asprintf("http://127.0.0.1:%d/devstoreaccount1", port);
    struct hf_azure_account *a = NULL;
    struct hf_azure_request r;
    struct hf_http_request req;
    struct hf_http_reply reply;
    conf.endpoint = endpoint;
    conf.abs.account_name = "devstoreaccount1";
    assert_int_equal(hf_azure_account_get(&conf, &a, NULL), HF_OK);
    hf_azure_request_init(&r, "PUT");
    hf_http_reply_init(&reply, 65536);
    assert_int_equal(hf_buf_appendf(&r.path, NULL, "%s/con", hf_azure_base_path(a)), HF_OK);
    assert_int_equal(hf_buf_appendf(&r.query, NULL, "restype=container"), HF_OK);
    assert_int_equal(hf_azure_authorize(a, &r, &req, NULL), HF_OK);
    (void)!hf_http_do(hf_httpstore_client(hf_azure_http(a)), &req, &reply, NULL);
    int status = reply.head.status;
    hf_http_reply_deinit(&reply);
    hf_azure_request_deinit(&r);
    hf_azure_account_put(a);
    return status;
}

static void start_azurite(const char *main_js)
{
    struct hf_err err = HF_ERR_INIT;
    snprintf(top, sizeof(top), "/tmp/holdfast-azure-XXXXXX");
    assert_non_null(mkdtemp(top));
    port = free_port();
    HF_AUTO_FREE char *port_text = hf_asprintf("%d", port);
    HF_AUTO_FREE char *log = hf_asprintf("%s/log", top);
    const char *argv[] = {"/usr/bin/env",
                          "node",
                          main_js,
                          "--blobHost",
                          "127.0.0.1",
                          "--blobPort",
                          port_text,
                          "--location",
                          top,
                          "--silent",
                          "--skipApiVersionCheck",
                          "--disableTelemetry",
                          NULL};
    struct hf_child_spec spec = {.argv = argv, .output = log};
    assert_int_equal(hf_child_start(&spec, &azurite, &err), HF_OK);
    setenv("LITESTREAM_AZURE_ACCOUNT_KEY", DEV_KEY, 1);
    int status = 0;
    for (int i = 0; i < 600 && status != 201; i++) {
        hf_clock_sleep_us(100000);
        status = make_container();
    }
    assert_int_equal(status, 201);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void stop_azurite(void)
{
    hf_child_kill(&azurite);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *fresh_url(void *arg)
{
    (void)arg;
    snprintf(
        url, sizeof(url),
        "abs://devstoreaccount1@con/fresh%u/a%%20b?endpoint=http://127.0.0.1:%d/devstoreaccount1",
        counter++, port);
    return url;
}

static void done(void *arg)
{
    (void)arg;
}

static struct hf_store *open_fresh(void)
{
    struct hf_store *s = NULL;
    struct hf_err err = HF_ERR_INIT;
    if (hf_store_open(fresh_url(NULL), &s, &err) != HF_OK)
        fail_msg("%s", err.text);
    return s;
}

/* As Go prints RFC 3339 with nanoseconds: no zeros at the end. */
static void test_times(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {1700000000000, "2023-11-14T22:13:20Z"},
        {1700000000120, "2023-11-14T22:13:20.12Z"},
        {1700000000007, "2023-11-14T22:13:20.007Z"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char text[32];
        azure_stamp_format(rows[i].ms, text);
        assert_string_equal(text, rows[i].text);
        assert_int_equal(azure_time(text, NULL, NULL), rows[i].ms);
    }
    static const char date[] = "Tue, 14 Nov 2023 22:13:20 GMT";
    assert_int_equal(azure_time("nonsense", date, NULL), 1700000000000); /* not ours: the store's */
    assert_int_equal(azure_time(NULL, NULL, date), 1700000000000);
    assert_int_equal(azure_time("2023-11-14T22:13:20.123456789Z", NULL, NULL), 1700000000123);
}

static void test_selftest(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    if (hf_store_selftest(s, &err) != HF_OK)
        fail_msg("%s", err.text);
    hf_store_close(s);
}

static enum hf_code count(void *arg, const struct hf_store_object *o, struct hf_err *err)
{
    (void)o;
    (void)err;
    ++*(int *)arg;
    return HF_OK;
}

static void test_blocks(void **state)
{
    (void)state;
    struct hf_err err = HF_ERR_INIT;
    struct hf_store *s = open_fresh();
    size_t len = 2 * (size_t)HF_LIMIT_STORE_BLOCK + 12345;
    uint8_t *data = hf_malloc(len);
    uint8_t *back = hf_malloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    int only = HF_STORE_CREATE_ONLY;
    assert_int_equal(hf_store_put(s, "big", data, len, only, 1700000000123, &err), HF_OK);
    assert_int_equal(hf_store_put(s, "big", data, len, only, 5, &err), HF_E_EXISTS);
    int n = 0;
    assert_int_equal(hf_store_list(s, "", NULL, count, &n, &err), HF_OK);
    assert_int_equal(n, 1);
    uint64_t size = 0;
    int64_t time_ms = 0;
    assert_int_equal(hf_store_head(s, "big", &size, &time_ms, &err), HF_OK);
    assert_int_equal(size, len);
    assert_int_equal(time_ms, 1700000000123);
    struct hf_store_reader *r = NULL;
    size_t got = 0;
    assert_int_equal(hf_store_reader_new(s, "big", 7, &r, &err), HF_OK);
    assert_int_equal(hf_store_reader_read(r, back, len, &got, &err), HF_OK);
    assert_int_equal(got, len - 7);
    assert_memory_equal(back, data + 7, len - 7);
    hf_store_reader_free(r);
    hf_free(data);
    hf_free(back);
    hf_store_close(s);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *container;
        const char *key;
        enum hf_code code;
        const char *text;
        const char *hint;
    } rows[] = {
        {"no such container", "nowhere", DEV_KEY, HF_E_NOT_FOUND, "ContainerNotFound", "create"},
        {"wrong key", "con", "c2VjcmV0", HF_E_DENIED, "403", "check the account name"},
        {"key that is none", "con", "a:key", HF_E_INVALID, "not base64", ""},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_err err = HF_ERR_INIT;
        struct hf_store *s = NULL;
        int n = 0;
        HF_AUTO_FREE char *where =
            hf_asprintf("abs://devstoreaccount1@%s/x?endpoint=http://127.0.0.1:%d/devstoreaccount1",
                        rows[i].container, port);
        setenv("LITESTREAM_AZURE_ACCOUNT_KEY", rows[i].key, 1);
        enum hf_code rc = hf_store_open(where, &s, &err);
        if (rc == HF_OK)
            rc = hf_store_list(s, "ltx/0", NULL, count, &n, &err);
        hf_store_close(s);
        if (rc != rows[i].code || strstr(err.text, rows[i].text) == NULL ||
            strstr(err.hint, rows[i].hint) == NULL)
            fail_msg("%s: %d '%s' '%s'", rows[i].why, (int)rc, err.text, err.hint);
        assert_null(strstr(err.text, rows[i].key));
    }
    setenv("LITESTREAM_AZURE_ACCOUNT_KEY", DEV_KEY, 1);
}

int main(void)
{
    const char *main_js = getenv("AZURITE_MAIN");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_selftest),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_refusals),
    };
    if (main_js == NULL || access(main_js, R_OK) != 0) {
        printf("SKIP: no Azurite (./dev setup installs it)\n");
        return 77;
    }
    start_azurite(main_js);
    struct hf_store_contract contract = {.name = "azure", .fresh_url = fresh_url, .done = done};
    int failed = hf_store_contract_run(&contract);
    failed += hf_store_contract_run_sealed(&contract);
    failed += cmocka_run_group_tests_name("store/azure", tests, NULL, NULL);
    stop_azurite();
    return failed;
}
