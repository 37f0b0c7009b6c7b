// The kernels of training for one instruction set, under the name that `CLEARHEAD_SET` gives.
#include "dense.h"
#include "hidden.h"
#include "loss_rows.h"
#include "short_attention.h"
#include "sublayer_end.h"
#include "training.h"

namespace clearhead {

extern const TrainingKernels CLEARHEAD_SET;
const TrainingKernels CLEARHEAD_SET = {
    score,        finish,                finish_backward, hide,           hide_backward,
    attend_short, attend_short_backward, make_panels,     multiply_dense, weigh_gradients,
};

}  // namespace clearhead
