#include "retouch/retouch_body.h"

namespace emfast::retouch {

void tone(Executor& ex, const Images& images, const Tones* tones, const uint64_t* keys) {
    tone_anywhere(ex, images, tones, keys);
}

void smooth(Executor& ex, const Images& images, const Taps& taps) { smooth_anywhere(ex, images, taps); }

}  // namespace emfast::retouch
