#include "cpu.h"

#include <cstdlib>
#include <new>
#include <stdexcept>

#if defined(__x86_64__) || defined(__i386__)
#define CLEARHEAD_X86 1
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace clearhead {

extern const Kernels portable_kernels, avx2_kernels, avx2_vnni_kernels, avx512_kernels, avx512_bf16_kernels, amx_kernels;

Workspace::~Workspace() { ::operator delete(memory_, std::align_val_t(alignment)); }

std::byte* Workspace::bytes(std::size_t size) {
  if (size > size_) {
    ::operator delete(memory_, std::align_val_t(alignment));
    memory_ = nullptr, size_ = 0;
    memory_ = static_cast<std::byte*>(::operator new(size, std::align_val_t(alignment)));
    size_ = size;
  }
  return memory_;
}

namespace {

#if CLEARHEAD_X86

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned part) {
  Registers r;
  if (__get_cpuid_count(leaf, part, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

bool bit(unsigned value, int index) { return (value >> index & 1) != 0; }

// Which registers the operating system saves when it changes threads: without that, using them is not safe.
unsigned saved_state() {
  if (!bit(cpuid(1, 0).c, 27)) return 0;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

// Linux gives a process the tile registers only when it asks.
bool tiles_allowed() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr int ask = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, ask, tile_data) == 0;
#else
  return false;
#endif
}

struct Found {
  bool avx2 = false, avx2_vnni = false, avx512 = false, avx512_bf16 = false, amx = false;
};

Found look() {
  const Registers one = cpuid(1, 0), seven = cpuid(7, 0), more = cpuid(7, 1);
  const unsigned saved = saved_state();
  const bool vectors = (saved & 0x6) == 0x6, wide = (saved & 0xe6) == 0xe6, tiles = (saved & 0x60000) == 0x60000;
  Found f;
  f.avx2 = vectors && bit(seven.b, 5) && bit(seven.b, 8) && bit(one.c, 12) && bit(one.c, 29);  // BMI2, FMA, F16C
  f.avx2_vnni = f.avx2 && bit(more.a, 4);
  f.avx512 = f.avx2 && wide && bit(seven.b, 16) && bit(seven.b, 17) && bit(seven.b, 30) && bit(seven.b, 31) &&
             bit(seven.c, 11);  // F, DQ, BW, VL, VNNI
  f.avx512_bf16 = f.avx512 && bit(more.a, 5);
  f.amx = f.avx512_bf16 && tiles && bit(seven.d, 22) && bit(seven.d, 24) && bit(seven.d, 25) && tiles_allowed();
  return f;
}

std::vector<const Kernels*> look_for_kernels() {
  const Found found = look();
  std::vector<const Kernels*> all = {&portable_kernels};
  // Those that this build has: all, unless CLEARHEAD_SETS says otherwise.
#if CLEARHEAD_AVX2
  if (found.avx2) all.push_back(&avx2_kernels);
#endif
#if CLEARHEAD_AVX2_VNNI
  if (found.avx2_vnni) all.push_back(&avx2_vnni_kernels);
#endif
#if CLEARHEAD_AVX512
  if (found.avx512) all.push_back(&avx512_kernels);
#endif
#if CLEARHEAD_AVX512_BF16
  if (found.avx512_bf16) all.push_back(&avx512_bf16_kernels);
#endif
#if CLEARHEAD_AMX
  if (found.amx) all.push_back(&amx_kernels);
#endif
  return all;
}

#else

std::vector<const Kernels*> look_for_kernels() { return {&portable_kernels}; }

#endif

const std::vector<const Kernels*>& available() {
  static const std::vector<const Kernels*> kernels = look_for_kernels();
  return kernels;
}

}  // namespace

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* k : available()) names.emplace_back(k->name);
  return names;
}

const Kernels& kernels(const std::string& name) {
  for (const Kernels* k : available())
    if (name == k->name) return *k;
  throw std::invalid_argument("this machine has no instruction set '" + name + "'");
}

}  // namespace clearhead
