"""Steps of training in single passes over memory: C++ kernels (`src/native`) with gradients of their own.

They compute what the equations of the other modules say, and stand in for these where `arrays.takes` allows.
"""
