"""The recipes of a recipe's teachers: its own, but for seed, direction and what `teachers.changes` says."""

from clearhead.errors import ConfigError
from clearhead.training.recipe.overrides import put
from clearhead.training.recipe.recipe import Recipe, checked, copied

OWN = ("teachers", "expect", "short", "about")  # keys of the recipe itself
WAYS = ("forward", "backward")


def teacher_recipes(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe of each teacher by its name, forward-1 and so on; none where the recipe has no teachers.

    Raises:
        ConfigError: changes that make no recipe.
    """
    if recipe.teachers is None:
        return {}
    names = [f"{way}-{i + 1}" for way in WAYS for i in range(getattr(recipe.teachers, way))]
    return {name: teacher(recipe, name, recipe.seed + i + 1) for i, name in enumerate(names)}


def teacher(recipe: Recipe, name: str, seed: int) -> Recipe:
    """The recipe of one of them. Nothing is tested with it: its translations are what it is for."""
    assert recipe.teachers is not None
    raw = recipe.model_dump(mode="json", exclude_unset=True, exclude=set(OWN))
    raw |= {"name": f"{recipe.name}.{name}", "seed": seed}
    raw["evaluation"] = {**raw.get("evaluation", {}), "scores": []}
    raw["data"] |= {"tests": {}, "reverse": recipe.data.reverse ^ name.startswith("backward")}
    for path, value in recipe.teachers.changes.items():
        try:
            put(raw, path, copied(value))
        except ConfigError as e:
            raise ConfigError(f"{recipe.name}: teachers.changes, {e}") from None
    return checked(raw, recipe.name, "teachers.changes, ")
