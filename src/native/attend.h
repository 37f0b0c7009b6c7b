// Attention for pages of any format.
#pragma once

#include "attention.h"
#if defined(__AMX_BF16__)
#include "amx_attention.h"
#endif

namespace clearhead {
namespace {

void attend_halves(const AttentionJob& job, [[maybe_unused]] Workspace& work) {
#if defined(__AMX_BF16__)
  attend_in_tiles(job, work);
#elif defined(__AVX512BF16__)
  const PairedQueries paired(job, work);
  attend_pages<KvFormat::bf16>(paired.job());
#else
  attend_pages<KvFormat::bf16>(job);
#endif
}

void attend(const AttentionJob& job, Workspace& work) {
  switch (job.shape.format) {
    case KvFormat::f32: return attend_pages<KvFormat::f32>(job);
    case KvFormat::bf16: return attend_halves(job, work);
    case KvFormat::f16: return attend_pages<KvFormat::f16>(job);
    case KvFormat::int8: return attend_pages<KvFormat::int8>(job);
  }
}

}  // namespace
}  // namespace clearhead
