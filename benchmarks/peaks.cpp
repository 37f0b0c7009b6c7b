// What this machine can do at best: bytes read per second, and operations per second of each arithmetic.
//
//     g++ -std=c++20 -O3 -march=native -pthread peaks.cpp -o peaks && ./peaks 2
//
// Prints one line per limit: its name, the best of several goes and their median. Arithmetic runs on registers alone, in
// enough independent chains to hide its latency; a multiplication and an addition count as two operations.

#include <algorithm>
#include <barrier>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__AMX_TILE__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

constexpr int GOES = 9;
constexpr int CHAINS = 12;
constexpr long TURNS = 4'000'000;

double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Keeps the compiler from knowing a value, so that nothing computed from it can be left out.
template <class T>
void opaque(T& value) {
    asm volatile("" : : "r"(&value) : "memory");
}

// Runs `work(thread)` on all threads at once; prints `amount` of one thread, times the threads, per second.
void report(const char* name, int threads, double amount, const std::function<void(int)>& work) {
    std::vector<double> rates;
    for (int go = 0; go < GOES; ++go) {
        std::vector<double> began(threads), ended(threads);
        std::barrier together(threads);
        std::vector<std::jthread> team;
        for (int thread = 0; thread < threads; ++thread)
            team.emplace_back([&, thread] {
                together.arrive_and_wait();
                began[thread] = seconds();
                work(thread);
                ended[thread] = seconds();
            });
        team.clear();
        const double took = *std::max_element(ended.begin(), ended.end()) - *std::min_element(began.begin(), began.end());
        rates.push_back(amount * threads / took);
    }
    std::sort(rates.begin(), rates.end());
    std::printf("%s %.4g %.4g\n", name, rates.back(), rates[GOES / 2]);
    std::fflush(stdout);
}

using Words = std::uint64_t __attribute__((vector_size(64)));
using Floats = float __attribute__((vector_size(64)));

// One thread's share of a buffer far larger than the caches, added up.
void read(const Words* begin, std::size_t count) {
    Words sums[8] = {};
    for (std::size_t i = 0; i + 8 <= count; i += 8)
        for (int j = 0; j < 8; ++j) sums[j] += begin[i + j];
    opaque(sums);
}

void memory(int threads) {
    constexpr std::size_t SHARE = std::size_t{1} << 29;
    const std::size_t count = SHARE / sizeof(Words);
    std::unique_ptr<void, decltype(&std::free)> buffer(std::aligned_alloc(1 << 21, SHARE * threads), std::free);
    std::memset(buffer.get(), 1, SHARE * threads);
    const auto* words = static_cast<const Words*>(buffer.get());
    report("read", threads, SHARE, [=](int thread) { read(words + thread * count, count); });
}

// `step` on independent chains of values.
template <class Value, class Step>
void chains(Step step) {
    Value values[CHAINS] = {}, factor = {};
    opaque(values);
    opaque(factor);
    for (long turn = 0; turn < TURNS; ++turn)
        for (auto& value : values) value = step(value, factor);
    opaque(values);
}

template <class Value, class Step>
void arithmetic(const char* name, int threads, int operations, Step step) {
    report(name, threads, double(operations) * CHAINS * TURNS, [=](int) { chains<Value>(step); });
}

void vectors(int threads) {
    arithmetic<Floats>("float32", threads, 2 * 16, [](Floats c, Floats a) { return a * a + c; });
#if defined(__AVX512BF16__)
    arithmetic<__m512>("bfloat16", threads, 2 * 32, [](__m512 c, __m512 a) {
        return _mm512_dpbf16_ps(c, std::bit_cast<__m512bh>(a), std::bit_cast<__m512bh>(a));
    });
#endif
#if defined(__AVX512VNNI__)
    arithmetic<__m512i>("int8", threads, 2 * 64, [](__m512i c, __m512i a) { return _mm512_dpbusd_epi32(c, a, a); });
#elif defined(__AVXVNNI__)
    arithmetic<__m256i>("int8", threads, 2 * 32, [](__m256i c, __m256i a) { return _mm256_dpbusd_avx_epi32(c, a, a); });
#elif defined(__AVX2__)
    arithmetic<__m256i>("int8", threads, 2 * 32, [](__m256i c, __m256i a) {
        const __m256i pairs = _mm256_maddubs_epi16(a, _mm256_xor_si256(a, c));
        return _mm256_add_epi32(c, _mm256_madd_epi16(pairs, a));
    });
#endif
}

#if defined(__AMX_TILE__) && defined(__linux__)
struct alignas(64) TileShapes {  // the layout that LDTILECFG reads
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
};

constexpr long TILE_TURNS = 1'000'000;

// Four tiles of sums, from two of either factor.
template <bool INT8>
void tiles() {
    TileShapes shapes;
    std::fill_n(shapes.row_bytes, 8, 64);
    std::fill_n(shapes.rows, 8, 16);
    alignas(64) char zeros[1024] = {};
    _tile_loadconfig(&shapes);
    _tile_loadd(4, zeros, 64);
    _tile_loadd(5, zeros, 64);
    _tile_loadd(6, zeros, 64);
    _tile_loadd(7, zeros, 64);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (long turn = 0; turn < TILE_TURNS; ++turn) {
        if constexpr (INT8) {
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        } else {
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, zeros, 64);
    _tile_release();
}

void tiled(int threads) {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;  // arch_prctl: the kernel saves tiles for who asks
    if (syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA)) return;
    constexpr double product = 2.0 * 16 * 16 * 32;  // of bfloat16; bytes come in twice the depth
#if defined(__AMX_BF16__)
    report("bfloat16 on tiles", threads, product * 4 * TILE_TURNS, [](int) { tiles<false>(); });
#endif
#if defined(__AMX_INT8__)
    report("int8 on tiles", threads, product * 2 * 4 * TILE_TURNS, [](int) { tiles<true>(); });
#endif
}
#else
void tiled(int) {}
#endif

}  // namespace

int main(int count, char** arguments) {
    const int threads = count > 1 ? std::max(std::atoi(arguments[1]), 1) : 1;
    memory(threads);
    vectors(threads);
    tiled(threads);
}
