/*
 * The tests every store back end passes. A back end's own test file includes this and calls
 * hf_store_contract_run() with a way to make an empty store; file_test.c is the model.
 *
 * Test-only: includes cmocka.
 */
#ifndef HF_STORE_CONTRACT_TEST_H
#define HF_STORE_CONTRACT_TEST_H

#include <stdbool.h>

#include "store/store.h"

struct hf_store_contract {
    const char *name; /* for the output: "file" */
    /* A URL of a place that is empty and nobody else's; valid until done(). */
    const char *(*fresh_url)(void *arg);
    void (*done)(void *arg); /* removes it again */
    void *arg;
    bool is_racy; /* its server looks first and writes then: of two writers at once both may win */
};

/* 0 when all passed. */
int hf_store_contract_run(const struct hf_store_contract *c);
/* The same once more with everything encrypted. */
int hf_store_contract_run_sealed(const struct hf_store_contract *c);

#endif
