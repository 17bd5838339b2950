#include "cmd/flags.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/suggest.h"

static enum hf_code parse_word(const struct hf_flag *flag, const char *text, int *out,
                               struct hf_err *err)
{
    for (int i = 0; flag->words[i] != NULL; i++) {
        if (strcmp(flag->words[i], text) == 0) {
            *out = i;
            return HF_OK;
        }
    }
    return hf_err_set(err, HF_E_INVALID, "'%.60s' is not one of %s", text, flag->value);
}

static enum hf_code parse_number(const struct hf_flag *flag, const char *text, int64_t *out,
                                 struct hf_err *err)
{
    int64_t min = flag->max == 0 ? INT64_MIN : flag->min;
    int64_t max = flag->max == 0 ? INT64_MAX : flag->max;
    if (flag->kind == HF_FLAG_INT)
        return hf_parse_i64(text, min, max, out, err);
    if (flag->kind == HF_FLAG_TIME_MS)
        return hf_parse_time_ms(text, out, err);
    int64_t ns = 0;
    HF_TRY(hf_parse_duration_ns(text, &ns, err));
    if (ns < min || ns > max)
        return hf_err_set(err, HF_E_INVALID, "'%.60s' is out of range", text);
    *out = ns;
    return HF_OK;
}

/* The values live in copies of the words, cut at the commas and chained through their first bytes.
 */
struct copy {
    struct copy *next;
    char text[];
};

static enum hf_code add_values(struct hf_flag_list *list, const char *text, struct hf_err *err)
{
    struct copy *copy = hf_malloc(sizeof(*copy) + strlen(text) + 1);
    copy->next = list->owned;
    list->owned = copy;
    memcpy(copy->text, text, strlen(text) + 1);
    for (char *at = copy->text; at != NULL;) {
        char *comma = strchr(at, ',');
        if (comma != NULL)
            *comma++ = '\0';
        if (at[0] == '\0')
            return hf_err_set(err, HF_E_INVALID, "'%.60s' has an empty part", text);
        if (list->n == HF_FLAG_LIST_MAX)
            return hf_err_set(err, HF_E_LIMIT, "more than %d values", HF_FLAG_LIST_MAX);
        list->items[list->n++] = at;
        at = comma;
    }
    return HF_OK;
}

static enum hf_code set_flag(const struct hf_flag *flag, const char *text, void *options,
                             struct hf_err *err)
{
    char *at = (char *)options + flag->offset;
    int64_t number = 0;
    uint64_t txid = 0;
    int word = 0;
    bool yes;
    switch (flag->kind) {
    case HF_FLAG_BOOL:
        HF_TRY(hf_parse_bool(text, &word, err));
        yes = word != 0;
        memcpy(at, &yes, sizeof(yes));
        return HF_OK;
    case HF_FLAG_STRING:
        memcpy(at, &text, sizeof(text));
        return HF_OK;
    case HF_FLAG_TXID:
        HF_TRY(hf_parse_txid(text, &txid, err));
        memcpy(at, &txid, sizeof(txid));
        return HF_OK;
    case HF_FLAG_LIST:
        return add_values((struct hf_flag_list *)(void *)at, text, err);
    case HF_FLAG_ENUM:
        HF_TRY(parse_word(flag, text, &word, err));
        memcpy(at, &word, sizeof(word));
        return HF_OK;
    case HF_FLAG_INT:
    case HF_FLAG_NS:
    case HF_FLAG_TIME_MS:
    default:
        HF_TRY(parse_number(flag, text, &number, err));
        memcpy(at, &number, sizeof(number));
        return HF_OK;
    }
}

static void set_defaults(const struct hf_command *cmd, void *options)
{
    for (size_t i = 0; i < cmd->n_flags; i++) {
        const struct hf_flag *flag = &cmd->flags[i];
        if (flag->def != NULL) {
            enum hf_code rc = set_flag(flag, flag->def, options, NULL);
            hf_assert(rc == HF_OK);
        } else if (flag->kind == HF_FLAG_TIME_MS) {
            int64_t none = INT64_MIN;
            memcpy((char *)options + flag->offset, &none, sizeof(none));
        }
    }
}

/* Any number of dashes will do; where a name is there twice, the one shown with as many. */
static const struct hf_flag *find_flag(const struct hf_command *cmd, const char *name, size_t len,
                                       bool has_two_dashes)
{
    const struct hf_flag *found = NULL;
    for (size_t i = 0; i < cmd->n_flags; i++) {
        const struct hf_flag *f = &cmd->flags[i];
        if (strlen(f->name) != len || memcmp(f->name, name, len) != 0)
            continue;
        if (found == NULL || ((f->marks & HF_FLAG_OURS) != 0) == has_two_dashes)
            found = f;
    }
    return found;
}

static enum hf_code unknown_flag(const struct hf_run *run, const char *name, size_t len,
                                 struct hf_err *err)
{
    char word[HF_SUGGEST_MAX + 2] = "";
    struct hf_suggest s;
    memcpy(word, name, len < sizeof(word) - 1 ? len : sizeof(word) - 1);
    hf_suggest_init(&s, word);
    for (size_t i = 0; i < run->cmd->n_flags; i++)
        hf_suggest_offer(&s, run->cmd->flags[i].name);
    hf_suggest_offer(&s, "help");
    hf_err_set(err, HF_E_INVALID, "there is no flag -%.*s", (int)(len < 60 ? len : 60), name);
    if (s.best != NULL)
        hf_err_hint(err, "did you mean -%s?", s.best);
    else
        hf_err_hint(err, "holdfast %s -help lists them", run->name);
    return HF_E_INVALID;
}

/* One flag at argv[*i]; moves *i when its value is the next word. */
static enum hf_code take_flag(struct hf_run *run, int argc, char *const *argv, int *i,
                              struct hf_err *err)
{
    bool has_two_dashes = argv[*i][1] == '-';
    const char *name = argv[*i] + (has_two_dashes ? 2 : 1);
    size_t len = strcspn(name, "=");
    const struct hf_flag *flag = find_flag(run->cmd, name, len, has_two_dashes);
    if (flag == NULL)
        return unknown_flag(run, name, len, err);
    const char *text = name[len] == '=' ? name + len + 1 : NULL;
    if (text == NULL && flag->kind == HF_FLAG_BOOL)
        text = "true";
    if (text == NULL && *i + 1 < argc)
        text = argv[++*i];
    if (text == NULL)
        return hf_err_set(err, HF_E_INVALID, "-%s needs a value (%s)", flag->name, flag->value);
    if (set_flag(flag, text, run->options, err) != HF_OK)
        return err == NULL ? HF_E_INVALID : hf_err_wrap(err, "-%s", flag->name);
    return HF_OK;
}

static bool is_help(const char *word)
{
    return strcmp(word, "-h") == 0 || strcmp(word, "-help") == 0 || strcmp(word, "--help") == 0;
}

static enum hf_code check_count(const struct hf_run *run, struct hf_err *err)
{
    const struct hf_command *cmd = run->cmd;
    if (run->n_args < cmd->min_args)
        hf_err_set(err, HF_E_INVALID, "too few arguments");
    else if (cmd->max_args >= 0 && run->n_args > cmd->max_args)
        hf_err_set(err, HF_E_INVALID, "too many arguments: %.80s", run->args[cmd->max_args]);
    else
        return HF_OK;
    hf_err_hint(err, "usage: holdfast %s [flags]%s%s", run->name, cmd->args[0] == '\0' ? "" : " ",
                cmd->args);
    return HF_E_INVALID;
}

enum hf_code hf_flags_parse(struct hf_run *run, int argc, char *const *argv, bool *wants_help,
                            struct hf_err *err)
{
    bool flags_over = false;
    set_defaults(run->cmd, run->options);
    run->n_args = 0;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        bool is_flag = !flags_over && word[0] == '-' && word[1] != '\0';
        if (!is_flag) {
            run->args[run->n_args++] = word;
        } else if (strcmp(word, "--") == 0) {
            flags_over = true;
        } else if (is_help(word)) {
            *wants_help = true;
            return HF_OK;
        } else {
            HF_TRY(take_flag(run, argc, argv, &i, err));
        }
    }
    return check_count(run, err);
}

void hf_flags_release(const struct hf_command *cmd, void *options)
{
    for (size_t i = 0; i < cmd->n_flags; i++) {
        if (cmd->flags[i].kind != HF_FLAG_LIST)
            continue;
        struct hf_flag_list *list = (void *)((char *)options + cmd->flags[i].offset);
        while (list->owned != NULL) {
            struct copy *copy = list->owned;
            list->owned = copy->next;
            hf_free(copy);
        }
        list->n = 0;
    }
}
