"""What people ask of a model by name: translate, and more to come. Each task is a function and a verb."""
