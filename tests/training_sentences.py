"""Some hundred sentences in three languages, for vocabularies: everybody does everything once."""

ENGLISH = (
    ["A man", "The old woman", "My neighbour's dog", "Nobody", "Two children", "The teacher", "Anna"],
    ["is looking at", "doesn't see", "has bought", "was painting", "forgot", "will carry"],
    ["the red bicycle.", "a well-known picture!", "3,500 apples?", "the house by the river, too."],
)
GERMAN = (
    ["Ein Mann", "Die alte Frau", "Der Hund des Nachbarn", "Niemand", "Die Lehrerin", "Anna"],
    ["betrachtet", "vergaß", "kaufte", "malt", "trägt"],
    ["das rote Fahrrad.", "ein bekanntes Gemälde!", "dreißig Äpfel?", "das Haus am Fluss, natürlich."],
)
FRENCH = (
    ["Un homme", "La vieille dame", "Le chien du voisin", "Personne", "L'institutrice", "Anna"],
    ["regarde", "n'oublie jamais", "achète", "a peint", "porte"],
    ["le vélo rouge.", "un tableau célèbre !", "trente pommes ?", "« la maison » près de l'eau."],
)


def every(parts: tuple[list[str], ...]) -> list[str]:
    """Each first part with each second and each third."""
    first, second, third = parts
    return [f"{a} {b} {c}" for a in first for b in second for c in third]


SENTENCES = every(ENGLISH) + every(GERMAN) + every(FRENCH)
