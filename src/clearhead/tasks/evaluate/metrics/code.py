"""pass@k: how likely one of k programs passes, estimated from n of which c do (Chen et al. 2021, 2107.03374)."""

from math import prod

from clearhead.errors import OptionError


def pass_at_k(n: int, c: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k), their equation 1: unbiased, which 1 - (1 - c/n)^k is not. Between 0 and 1.

    The quotient is computed as a product of c factors, as there, for the binomials themselves grow too large.

    Raises:
        OptionError: numbers that cannot be: more passes than programs, or k beyond them.
    """
    if not (n >= 1 and 0 <= c <= n and 1 <= k <= n):
        raise OptionError(f"pass@{k} of {c} passes among {n} programs cannot be; give 0 <= c <= n and 1 <= k <= n")
    if n - c < k:
        return 1.0
    return 1.0 - prod(1.0 - k / i for i in range(n - c + 1, n + 1))
