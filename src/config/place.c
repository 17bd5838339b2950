#include "config/place.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/suggest.h"
#include "config/url.h"
#include "os/file.h"

static const char *const type_words[] = {"file", "s3",   "abs",    "gs",
                                         "sftp", "nats", "webdav", "oss"};

const char *hf_replica_type_word(enum hf_replica_type type)
{
    hf_assert((size_t)type < HF_ARRAY_LEN(type_words));
    return type_words[type];
}

static const char *home_dir(void)
{
    const char *home = getenv("HOME");
    if (home != NULL && home[0] != '\0')
        return home;
    const struct passwd *pw = getpwuid(getuid());
    return pw == NULL ? "/" : pw->pw_dir;
}

/* Removes "//", "/./", "/../" and a trailing '/' of an absolute path, in place. */
static void clean(char *path)
{
    size_t n = 0; /* path[0..n) is clean and has no trailing '/' */
    const char *p = path;
    while (*p != '\0') {
        const char *part = p + strspn(p, "/");
        size_t len = strcspn(part, "/");
        p = part + len;
        if (len == 0 || (len == 1 && part[0] == '.'))
            continue;
        if (len == 2 && part[0] == '.' && part[1] == '.') {
            while (n > 0 && path[--n] != '/')
                ;
            continue;
        }
        path[n++] = '/';
        memmove(path + n, part, len);
        n += len;
    }
    if (n == 0)
        path[n++] = '/';
    path[n] = '\0';
}

const char *hf_place_absolute(struct hf_arena *arena, const char *path)
{
    char cwd[HF_LIMIT_PATH];
    char *out;
    if (path[0] == '~' && (path[1] == '/' || path[1] == '\0'))
        out = hf_arena_printf(arena, "%s/%s", home_dir(), path + 1);
    else if (path[0] == '/')
        out = hf_arena_printf(arena, "%s/", path);
    else
        out = hf_arena_printf(arena, "%s/%s", getcwd(cwd, sizeof(cwd)) == NULL ? "" : cwd, path);
    clean(out);
    return out;
}

const char *hf_place_strip_sqlite(const char *path)
{
    if (strncasecmp(path, "sqlite3://", 10) == 0)
        return path + 10;
    if (strncasecmp(path, "sqlite://", 9) == 0)
        return path + 9;
    return path;
}

const char *hf_place_meta(struct hf_arena *arena, const char *dir, const char *db_path)
{
    const char *slash = strrchr(db_path, '/');
    hf_assert(slash != NULL);
    if (dir != NULL)
        return hf_arena_printf(arena, "%s/.%s-holdfast", dir, slash + 1);
    return hf_arena_printf(arena, "%.*s/.%s-holdfast", (int)(slash - db_path), db_path, slash + 1);
}

const char *hf_place_meta_given(struct hf_arena *arena, const char *meta_path)
{
    static const char theirs[] = "-litestream";
    const char *path = hf_place_absolute(arena, meta_path);
    size_t len = strlen(path);
    size_t tail = sizeof(theirs) - 1;
    if (len <= tail || strcmp(path + len - tail, theirs) != 0)
        return path;
    return hf_arena_printf(arena, "%.*s-holdfast", (int)(len - tail), path);
}

/* "/a//b/" -> "a/b": a prefix inside a bucket. */
static const char *bucket_path(struct hf_arena *arena, const char *path)
{
    char *out = hf_arena_printf(arena, "/%s", path == NULL ? "" : path);
    clean(out);
    return out + 1;
}

static enum hf_code parse_type(struct hf_reading *rd, const char *word, const struct hf_yaml *at,
                               const char *name, enum hf_replica_type *out)
{
    struct hf_suggest s;
    hf_suggest_init(&s, word);
    if (strcasecmp(word, "webdavs") == 0)
        word = "webdav";
    for (size_t i = 0; i < HF_ARRAY_LEN(type_words); i++) {
        if (strcasecmp(word, type_words[i]) == 0) {
            *out = (enum hf_replica_type)i;
            return HF_OK;
        }
        hf_suggest_offer(&s, type_words[i]);
    }
    return hf_reading_fail(rd, at, name,
                           "'%.60s' is not a replica type (%s%sthere are file, s3, abs, gs, sftp, "
                           "nats, webdav, oss)",
                           word, s.best == NULL ? "" : "did you mean ",
                           s.best == NULL ? "" : hf_arena_printf(rd->cfg->arena, "%s? ", s.best));
}

/* Providers whose bucket and region stand in the host name: BUCKET.<before>REGION<after>. */
struct s3_host {
    const char *before;
    const char *after;
    const char *endpoint; /* with %s for the region; NULL: the usual one */
};

static const struct s3_host s3_hosts[] = {
    {".s3.", ".amazonaws.com", NULL},
    {".s3.", ".backblazeb2.com", "https://s3.%s.backblazeb2.com"},
    {".s3.", ".scw.cloud", "https://s3.%s.scw.cloud"},
    {".s3.", ".filebase.com", "https://s3.filebase.com"},
    {".", ".digitaloceanspaces.com", "https://%s.digitaloceanspaces.com"},
    {".", ".your-objectstorage.com", "https://%s.your-objectstorage.com"},
};

static bool ends_with(const char *text, const char *tail)
{
    size_t a = strlen(text);
    size_t b = strlen(tail);
    return a > b && strcmp(text + a - b, tail) == 0;
}

static void split_s3_host(struct hf_arena *arena, struct hf_config_replica *r, const char *host)
{
    r->bucket = host;
    for (size_t i = 0; i < HF_ARRAY_LEN(s3_hosts); i++) {
        const struct s3_host *h = &s3_hosts[i];
        const char *dot = strstr(host, h->before);
        if (!ends_with(host, h->after) || dot == NULL || dot == host)
            continue;
        const char *region = dot + strlen(h->before);
        size_t tail = strlen(h->after);
        if (strlen(region) <= tail)
            continue;
        r->bucket = hf_arena_strndup(arena, host, (size_t)(dot - host));
        r->s3.region = hf_arena_strndup(arena, region, strlen(region) - tail);
        if (h->endpoint == NULL || r->endpoint != NULL)
            return;
        const char *mark = strstr(h->endpoint, "%s");
        r->endpoint = mark == NULL ? h->endpoint
                                   : hf_arena_printf(arena, "%.*s%s%s", (int)(mark - h->endpoint),
                                                     h->endpoint, r->s3.region, mark + 2);
        return;
    }
}

/* Query options of an s3 URL and the keys they stand for. */
static enum hf_code s3_options(struct hf_reading *rd, struct hf_raw_replica *raw,
                               const struct hf_url *url, const char *name)
{
    static const char *const options[][2] = {
        {"endpoint", "endpoint"},
        {"region", "region"},
        {"forcePathStyle", "force-path-style"},
        {"skipVerify", "skip-verify"},
        {"signPayload", "sign-payload"},
        {"requireContentMD5", "require-content-md5"},
        {"storageClass", "storage-class"},
        {"partSize", "part-size"},
        {"concurrency", "concurrency"},
        {"allowUnconditionalPuts", "allow-unconditional-puts"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(options); i++) {
        const char *text = hf_url_option(rd->cfg->arena, url, options[i][0]);
        if (text == NULL)
            continue;
        struct hf_yaml value = {.kind = HF_YAML_TEXT, .text = text};
        const struct hf_key *key = hf_schema_find(&hf_section_replica, options[i][1]);
        char option[HF_SUGGEST_MAX + 160];
        snprintf(option, sizeof(option), "%.120s?%s", name, options[i][0]);
        HF_TRY(hf_schema_set(rd, key, &value, option, raw));
    }
    return HF_OK;
}

/* "/BUCKET/rest" -> BUCKET and "/rest": nats keeps its bucket in the path. */
static const char *take_bucket(struct hf_arena *arena, const char *path, const char **rest)
{
    const char *p = path + strspn(path, "/");
    size_t len = strcspn(p, "/");
    *rest = p + len;
    return len == 0 ? NULL : hf_arena_strndup(arena, p, len);
}

static enum hf_code from_url(struct hf_reading *rd, struct hf_raw_replica *raw,
                             const struct hf_yaml *at, const char *name)
{
    struct hf_arena *arena = rd->cfg->arena;
    struct hf_config_replica *r = &raw->r;
    struct hf_url url;
    struct hf_err why = HF_ERR_INIT;
    if (hf_url_parse(arena, raw->url, &url, &why) != HF_OK)
        return hf_reading_fail(rd, at, name, "%s", why.text);
    HF_TRY(parse_type(rd, url.scheme, at, name, &r->type));
    raw->path = url.path;
    switch (r->type) {
    case HF_REPLICA_FILE:
        raw->path = hf_arena_printf(arena, "%s%s", url.host, url.path);
        return HF_OK;
    case HF_REPLICA_S3:
        HF_TRY(s3_options(rd, raw, &url, name));
        if (strncmp(url.host, "arn:", 4) != 0) {
            split_s3_host(arena, r, url.host);
            return HF_OK;
        }
        /* s3://arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/PATH: the ARN ends behind NAME. */
        r->bucket = take_bucket(arena, url.path, &raw->path);
        r->bucket = hf_arena_printf(arena, "%s/%s", url.host, r->bucket == NULL ? "" : r->bucket);
        return HF_OK;
    case HF_REPLICA_ABS:
        r->bucket = url.host;
        if (url.user != NULL)
            r->abs.account_name = url.user;
        if (hf_url_option(arena, &url, "endpoint") != NULL)
            r->endpoint = hf_url_option(arena, &url, "endpoint");
        return HF_OK;
    case HF_REPLICA_SFTP:
    case HF_REPLICA_NATS:
        raw->host = url.host;
        raw->password = url.password != NULL ? url.password : raw->password;
        if (r->type == HF_REPLICA_NATS)
            r->bucket = take_bucket(arena, url.path, &raw->path);
        if (url.user != NULL)
            *(r->type == HF_REPLICA_NATS ? &r->nats.username : &r->sftp.user) = url.user;
        return HF_OK;
    case HF_REPLICA_WEBDAV:
        r->webdav.url = hf_arena_printf(
            arena, "%s://%s", strcmp(url.scheme, "webdavs") == 0 ? "https" : "http", url.host);
        r->webdav.username = url.user != NULL ? url.user : r->webdav.username;
        r->webdav.password = url.password != NULL ? url.password : r->webdav.password;
        return HF_OK;
    case HF_REPLICA_GS:
    case HF_REPLICA_OSS:
    default:
        r->bucket = url.host;
        return HF_OK;
    }
}

/* "HOST:PORT" -> sftp.host and sftp.port. */
static enum hf_code split_port(struct hf_reading *rd, struct hf_raw_replica *raw,
                               const struct hf_yaml *at, const char *name)
{
    struct hf_err why = HF_ERR_INIT;
    const char *host = raw->host;
    const char *colon = strrchr(host, ':');
    int64_t port = 22;
    bool is_v6 = colon != NULL && memchr(host, ']', (size_t)(colon - host)) == NULL &&
                 memchr(host, ':', (size_t)(colon - host)) != NULL;
    if (colon == NULL || is_v6 || strchr(colon, ']') != NULL)
        colon = host + strlen(host);
    else if (hf_parse_i64(colon + 1, 1, 65535, &port, &why) != HF_OK)
        return hf_reading_fail(rd, at, name, "port of %.80s: %s", host, why.text);
    raw->r.sftp.host = hf_arena_strndup(rd->cfg->arena, host, (size_t)(colon - host));
    raw->r.sftp.port = port;
    return HF_OK;
}

/* "https://NAME.blob.core.windows.net" -> NAME. */
static const char *account_of_endpoint(struct hf_arena *arena, const char *endpoint)
{
    const char *host = endpoint == NULL ? NULL : strstr(endpoint, "://");
    size_t len = host == NULL ? 0 : strcspn(host + 3, "./:");
    return len == 0 ? NULL : hf_arena_strndup(arena, host + 3, len);
}

static enum hf_code missing(struct hf_reading *rd, const struct hf_yaml *at, const char *name,
                            const struct hf_config_replica *r, const char *key)
{
    return hf_reading_fail(rd, at, name, "a replica of type %s needs %s",
                           hf_replica_type_word(r->type), key);
}

static enum hf_code finish_remote(struct hf_reading *rd, struct hf_raw_replica *raw,
                                  const struct hf_yaml *at, const char *name)
{
    struct hf_config_replica *r = &raw->r;
    bool has_bucket = r->type != HF_REPLICA_SFTP && r->type != HF_REPLICA_WEBDAV;
    if (has_bucket && (r->bucket == NULL || r->bucket[0] == '\0'))
        return missing(rd, at, name, r, "bucket");
    if (!has_bucket)
        r->bucket = NULL;
    if (r->type == HF_REPLICA_ABS && r->abs.account_name == NULL)
        r->abs.account_name = account_of_endpoint(rd->cfg->arena, r->endpoint);
    if (r->type == HF_REPLICA_ABS && r->abs.account_name == NULL)
        return missing(rd, at, name, r, "account-name or endpoint");
    if (r->type == HF_REPLICA_WEBDAV && r->webdav.url == NULL)
        return missing(rd, at, name, r, "webdav-url");
    bool needs_host = r->type == HF_REPLICA_SFTP || r->type == HF_REPLICA_NATS;
    if (needs_host && (raw->host == NULL || raw->host[0] == '\0'))
        return missing(rd, at, name, r, "host");
    if (r->type == HF_REPLICA_SFTP) {
        HF_TRY(split_port(rd, raw, at, name));
        r->sftp.password = raw->password;
    }
    r->nats.host = r->type == HF_REPLICA_NATS ? raw->host : NULL;
    r->nats.password = r->type == HF_REPLICA_NATS ? raw->password : NULL;
    bool has_endpoint = r->endpoint != NULL;
    r->s3.force_path_style = raw->force_path_style < 0 ? has_endpoint : raw->force_path_style != 0;
    return HF_OK;
}

const char *hf_place_url(struct hf_arena *arena, const struct hf_config_replica *r)
{
    const char *word = hf_replica_type_word(r->type);
    switch (r->type) {
    case HF_REPLICA_FILE:
        return hf_arena_printf(arena, "file://%s", r->path);
    case HF_REPLICA_ABS:
        return hf_arena_printf(arena, "abs://%s@%s/%s", r->abs.account_name, r->bucket, r->path);
    case HF_REPLICA_SFTP: {
        const char *user = r->sftp.user;
        const char *slash = r->path[0] == '/' ? "" : "/";
        return hf_arena_printf(arena, "sftp://%s%s%s:%d%s%s", user == NULL ? "" : user,
                               user == NULL ? "" : "@", r->sftp.host, (int)r->sftp.port, slash,
                               r->path);
    }
    case HF_REPLICA_NATS:
        return hf_arena_printf(arena, "nats://%s/%s/%s", r->nats.host, r->bucket, r->path);
    case HF_REPLICA_WEBDAV: {
        bool is_tls = strncasecmp(r->webdav.url, "https://", 8) == 0;
        const char *mark = strstr(r->webdav.url, "://");
        const char *host = mark == NULL ? r->webdav.url : mark + 3;
        const char *at = strchr(host, '@'); /* USER:PASSWORD@ is not shown */
        if (at != NULL && (size_t)(at - host) < strcspn(host, "/"))
            host = at + 1;
        return hf_arena_printf(arena, "webdav%s://%s/%s", is_tls ? "s" : "", host, r->path);
    }
    case HF_REPLICA_S3:
    case HF_REPLICA_GS:
    case HF_REPLICA_OSS:
    default:
        return hf_arena_printf(arena, "%s://%s/%s", word, r->bucket, r->path);
    }
}

static const char *resolved_path(struct hf_arena *arena, const struct hf_raw_replica *raw)
{
    const char *path = raw->path == NULL ? "" : raw->path;
    if (path[0] == '\0')
        return "";
    if (raw->r.type == HF_REPLICA_FILE)
        return hf_place_absolute(arena, path);
    if (raw->r.type == HF_REPLICA_SFTP && path[0] == '/')
        return hf_place_absolute(arena, path);
    return bucket_path(arena, path);
}

enum hf_code hf_place_replica(struct hf_reading *rd, struct hf_raw_replica *raw,
                              const struct hf_yaml *at, const char *name)
{
    struct hf_config_replica *r = &raw->r;
    if (raw->path != NULL && hf_url_is(raw->path))
        return hf_reading_fail(rd, at, name, "path holds a URL: write it as url: %.80s", raw->path);
    if (raw->url != NULL && raw->path != NULL)
        return hf_reading_fail(rd, at, name, "has both url and path: keep one");
    if (raw->url != NULL)
        HF_TRY(from_url(rd, raw, at, name));
    else if (raw->type != NULL)
        HF_TRY(parse_type(rd, raw->type, at, name, &r->type));
    if (r->type == HF_REPLICA_FILE)
        r->bucket = NULL;
    else
        HF_TRY(finish_remote(rd, raw, at, name));
    r->path = resolved_path(rd->cfg->arena, raw);
    if (r->path[0] == '\0' || strcmp(r->path, "/") == 0)
        return hf_reading_fail(rd, at, name,
                               "needs a path: a replica may not fill the root of a %s",
                               r->type == HF_REPLICA_FILE ? "file system" : "bucket");
    if (r->name == NULL)
        r->name = hf_replica_type_word(r->type);
    HF_TRY(hf_place_encryption(rd, raw, at, name));
    if (r->type == HF_REPLICA_SFTP)
        hf_reading_check_private(rd, at, "key-path", r->sftp.key_path);
    if (r->type == HF_REPLICA_S3)
        hf_reading_check_private(rd, at, "sse-customer-key-path", r->s3.sse_customer_key_path);
    r->url = hf_place_url(rd->cfg->arena, r);
    return HF_OK;
}

/* One thing that two databases may not share. */
struct claim {
    char *what; /* compared */
    const char *shown;
    const char *kind;
    const struct hf_config_db *db;
};

static int compare_claims(const void *a, const void *b)
{
    const struct claim *x = a;
    const struct claim *y = b;
    int order = strcmp(x->what, y->what);
    return order != 0 ? order : x->db->line - y->db->line;
}

static void add_claim(struct claim *claims, size_t *n, struct claim c)
{
    claims[(*n)++] = c;
}

static char *real_path(const char *kind, const char *path)
{
    char *real = NULL;
    if (hf_path_absolute(path, &real, NULL) != HF_OK)
        real = hf_strdup(path);
    char *what = hf_asprintf("%s %s", kind, real);
    hf_free(real);
    return what;
}

static void claims_of_db(const struct hf_config_db *db, struct claim *claims, size_t *n)
{
    if (!db->is_dir && db->path != NULL) {
        add_claim(claims, n, (struct claim){real_path("db", db->path), db->path, "databases", db});
        add_claim(claims, n,
                  (struct claim){real_path("meta", db->meta_path), db->meta_path,
                                 "databases keep their state in", db});
    }
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct hf_config_replica *r = &db->replicas[i];
        struct claim c = {NULL, r->url, "databases write to the replica", db};
        if (r->type == HF_REPLICA_FILE)
            c.what = real_path("replica", r->path);
        else
            c.what = hf_asprintf("replica %s %s", r->url, r->endpoint == NULL ? "" : r->endpoint);
        add_claim(claims, n, c);
    }
}

static enum hf_code first_clash(const char *file, const struct claim *claims, size_t n,
                                struct hf_err *err)
{
    for (size_t i = 1; i < n; i++) {
        const struct claim *a = &claims[i - 1];
        const struct claim *b = &claims[i];
        if (strcmp(a->what, b->what) != 0)
            continue;
        if (a->db == b->db)
            return hf_err_set(err, HF_E_INVALID, "%s:%d: two replicas of one database are at %s",
                              file, b->db->line, b->shown);
        return hf_err_set(err, HF_E_INVALID, "%s:%d: two %s %s (the other one is on line %d)", file,
                          b->db->line, b->kind, b->shown, a->db->line);
    }
    return HF_OK;
}

enum hf_code hf_place_check_shared(const struct hf_config *cfg, struct hf_err *err)
{
    size_t max = 0;
    size_t n = 0;
    for (size_t i = 0; i < cfg->n_dbs; i++)
        max += cfg->dbs[i]->n_replicas + 2;
    for (size_t i = 0; i < cfg->n_dirs; i++)
        max += cfg->dirs[i]->n_replicas + 2;
    struct claim *claims = hf_calloc(max + 1, sizeof(*claims));
    for (size_t i = 0; i < cfg->n_dbs; i++)
        claims_of_db(cfg->dbs[i], claims, &n);
    for (size_t i = 0; i < cfg->n_dirs; i++)
        claims_of_db(cfg->dirs[i], claims, &n);
    hf_assert(n <= max);
    qsort(claims, n, sizeof(*claims), compare_claims);
    enum hf_code rc = first_clash(cfg->file, claims, n, err);
    for (size_t i = 0; i < n; i++)
        hf_free(claims[i].what);
    hf_free(claims);
    return rc;
}
