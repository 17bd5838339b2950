/*
 * "Did you mean ...?": the nearest of some known words to one that is not known. Pure, any thread.
 *
 * Distance: insertions, deletions, substitutions and swaps of neighbours, each 1 (Damerau, optimal
 * string alignment). Words longer than HF_SUGGEST_MAX are never suggested or matched.
 */
#ifndef HF_BASE_SUGGEST_H
#define HF_BASE_SUGGEST_H

#include <stddef.h>

enum { HF_SUGGEST_MAX = 40 };

/* Feed candidates one by one; best holds the nearest so far. */
struct hf_suggest {
    const char *word;
    const char *best; /* NULL while nothing is near enough; borrowed from the candidate */
    size_t best_distance;
};

void hf_suggest_init(struct hf_suggest *s, const char *word);
void hf_suggest_offer(struct hf_suggest *s, const char *candidate);

size_t hf_edit_distance(const char *a, const char *b);

#endif
