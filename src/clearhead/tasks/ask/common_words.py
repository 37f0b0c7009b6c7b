"""Words that questions are made of, whatever they ask about; of the searches only meaning is asked with them."""

COMMON = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does", "for", "from",
    "had", "has", "have", "he", "her", "him", "his", "how", "in", "into", "is", "it", "its", "kind", "many", "may",
    "much", "name", "not", "of", "on", "or", "she", "should", "that", "the", "their", "them", "there", "these", "they",
    "this", "those", "to", "type", "was", "were", "what", "when", "where", "which", "who", "whom", "whose", "why",
    "will", "with", "would",
})  # fmt: skip
MARKS = frozenset("'\"?.,!:;-’“”()")
