# SPDX-License-Identifier: Apache-2.0
"""BM25 from the formula, by looking at every document: what an index must agree with."""

import collections
import math
import unicodedata

K1 = 1.5
B = 0.75
IDF_MIN = 1e-6


def words(text):
    """Maximal runs of letters, marks and decimal digits, lower-cased character by character."""
    found, word = [], ""
    for character in text + " ":
        category = unicodedata.category(character)
        if category[0] in "LM" or category == "Nd":
            word += character.lower()[0]
        elif word:
            found.append(word)
            word = ""
    return found


class Model:
    """Documents by a key; None is a row whose text is NULL."""

    def __init__(self, documents=(), k1=K1, b=B):
        self.k1, self.b = k1, b
        self.counts, self.df, self.n_tokens = {}, collections.Counter(), 0
        for key, text in dict(documents).items():
            self.add(key, text)

    def add(self, key, text):
        if text is None:
            return
        counts = collections.Counter(words(text))
        self.counts[key] = counts
        self.df.update(counts.keys())
        self.n_tokens += sum(counts.values())

    def remove(self, key):
        counts = self.counts.pop(key, None)
        if counts is not None:
            self.df.subtract(counts.keys())
            self.n_tokens -= sum(counts.values())

    def idf(self, word):
        n, df = len(self.counts), self.df[word]
        return max(IDF_MIN, math.log((n - df + 0.5) / (df + 0.5)))

    def scores(self, query):
        """{key: score} of the documents that have at least one of the query's words."""
        wanted = collections.Counter(words(query))
        mean = self.n_tokens / max(len(self.counts), 1) or 1
        idf = {word: self.idf(word) for word in wanted}
        found = {}
        for key, counts in self.counts.items():
            if not any(word in wanted for word in counts):
                continue
            norm = self.k1 * (1 - self.b + self.b * sum(counts.values()) / mean)
            found[key] = sum(
                wanted[word] * idf[word] * n * (self.k1 + 1) / (n + norm)
                for word, n in counts.items() if word in wanted)
        return found
