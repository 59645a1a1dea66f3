// The distinct ids of a volume in a key table, for schedules that give each id a place of its own.
#pragma once

#include "core/columns.h"
#include "core/key_table.h"

namespace emfast {

template <class T>
struct CollectIds {
    View<const T> labels;
    bool has_background;
    T background;
    KeyTable table;
    EMFAST_HD void operator()(int64_t i) const {
        each_run(labels, column(labels.shape, i), [&](T label, int64_t, int64_t) {
            if (!has_background || label != background) table.insert(label);
        });
    }
};

// background is a bit pattern and left out, if there is one.
template <class T>
KeyTableMemory collect_ids(Executor& ex, const View<const T>& labels, bool has_background, uint64_t background) {
    return fill_keys(ex, labels.size(), [&](const KeyTable& table) {
        ex.for_each(columns(labels.shape), CollectIds<T>{labels, has_background, static_cast<T>(background), table});
    });
}

}  // namespace emfast
