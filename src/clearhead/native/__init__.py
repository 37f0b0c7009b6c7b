"""The executor in C++ (`src/native`): the same block as `model/`, computed on packed weights, without torch."""
