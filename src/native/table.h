// The kernels of one instruction set, under the name that `CLEARHEAD_SET` gives: included by isa_*.cpp, once each. Those of
// training, which sets with the same vectors share, are made in isa_*_training.cpp.
#include "attend.h"
#include "elementwise.h"
#include "kernels.h"
#include "matmul.h"
#include "quantise.h"
#include "unpack.h"
#include "vocabulary.h"

namespace clearhead {

extern const TrainingKernels avx2_training, avx512_training, avx512_bf16_training;
extern const Kernels CLEARHEAD_SET;
const Kernels CLEARHEAD_SET = {
    CLEARHEAD_NAME, has_tiles,  fewest_for_halves, multiply, multiply_activated, quantise, to_bfloat16, unpack_row,
    layer_norm,     rms_norm,   activate,          rotate,   store_position,     load_position, attend, merge,
    peak,           weigh,      survey,            sum_reaching, sum_above,      narrow, split,  find_reaching,
    CLEARHEAD_TRAINING,
};

}  // namespace clearhead
